"""Optional dependencies, imported at the point of use."""

import importlib
from types import ModuleType

from leadline._core.errors import MissingExtraError


def require(module: str, *, extra: str) -> ModuleType:
    """The imported ``module``, or an error that names the extra that brings it.

    Args:
        module: Dotted name of the module.
        extra: Name of the extra of leadline that installs it.

    Returns:
        The module.

    Raises:
        MissingExtraError: If it is not installed, or is installed but cannot be imported.

    Example:
        >>> require("json", extra="hf").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise MissingExtraError(f"`{module}` is installed but cannot be imported ({error}).") from error
        raise MissingExtraError(
            f"This needs `{module}`, which is not installed: `pip install 'leadline[{extra}]'`."
        ) from error
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingExtraError(
            f"`{module}` is installed but cannot be imported ({error}); check that its version fits your torch."
        ) from error
