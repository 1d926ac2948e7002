"""Scripts outside the packages, in benchmarks/ and tools/, as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def loaded(script: str, name: str) -> ModuleType:
    """Return a script as a module.

    Args:
        script: its path below the checkout, such as `benchmarks/faces.py`.
        name: of the module.
    """
    spec = importlib.util.spec_from_file_location(name, ROOT / script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module
