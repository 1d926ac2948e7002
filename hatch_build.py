"""Packs the networks into a wheel: hatchling calls this while it builds one."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NetworksHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts what `make networks` exported beside the code; refuses a wheel that would find no text."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to be packed, after a look at their SHA-256."""
        if version == "editable":
            return
        root = Path(self.root)
        folder = root / "build" / "networks"
        pinned = json.loads((root / "transforms" / "beamstop" / "data" / "networks.json").read_text())
        for weights, digests in pinned.items():
            for suffix, digest in digests.items():
                file = folder / f"{weights}{suffix}"
                if not file.is_file() or sha256(file.read_bytes()).hexdigest() != digest:
                    self.app.abort(
                        f"{file.relative_to(root)} is missing or another one: run make networks first"
                    )
                build_data["force_include"][str(file)] = f"beamstop/networks/{file.name}"
