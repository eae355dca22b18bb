"""The Python file that builds labelled networks, loaded by its path."""

import importlib.util
from pathlib import Path
from types import ModuleType


def loaded(path: Path) -> ModuleType:
    """The module with ``build(config)`` and ``batch(config)``."""
    spec = importlib.util.spec_from_file_location("zoo", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file; give the one with build(config) and batch(config).")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
