"""Check the Flex Template's specification and say what it takes to publish it; nothing is sent anywhere."""

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from google.cloud.dataflow_v1beta3 import ContainerSpec

HERE = Path(__file__).resolve().parent
# Of PyTorch's index of CPU wheels; of the base images. The Dockerfile says how to look digests up.
_ARGUMENTS = (*(f"{name}_DIGEST=sha256:DIGEST" for name in ("PYTHON", "BEAM", "LAUNCHER")),)
_BUILD_ARGUMENTS = (word for argument in _ARGUMENTS for word in ("--build-arg", argument))
_BUILD = ("docker", "build", "--file", "templates/dataflow/Dockerfile", *_BUILD_ARGUMENTS)


def specification(image: str) -> dict[str, Any]:
    """Return what stands in the bucket for Dataflow to read.

    `gcloud dataflow flex-template build` makes the same of metadata.json, but cannot name the workers' image.

    Args:
        image: with its tag, of launcher and workers.

    Raises:
        ParseError: Dataflow knows no such field, or no such value.
    """
    known = {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": json.loads((HERE / "metadata.json").read_text()),
        # Two processes with 8 GB each: docs/scale.md.
        "defaultEnvironment": {"machineType": "n2-highmem-2", "sdkContainerImage": image},
    }
    ContainerSpec.from_json(json.dumps(known), ignore_unknown_fields=False)
    return known


def commands(image: str, place: str, file: Path) -> list[list[str]]:
    """Return the commands that publish the template.

    Args:
        image: with its tag.
        place: `gs://` address for the specification.
        file: where the specification is now.
    """
    return [
        [*_BUILD, "--tag", image, "."],
        ["docker", "push", image],
        ["gcloud", "storage", "cp", str(file), place],
    ]


def main() -> None:
    """Write the specification and print the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True)
    parser.add_argument("--place", required=True)
    parser.add_argument("--file", type=Path, required=True)
    given = parser.parse_args()
    given.file.parent.mkdir(parents=True, exist_ok=True)
    given.file.write_text(json.dumps(specification(given.image), indent=2) + "\n")
    print(f"{given.file}: Dataflow knows every field. To publish it:")
    for command in commands(given.image, given.place, given.file):
        print(shlex.join(command))


if __name__ == "__main__":
    main()
