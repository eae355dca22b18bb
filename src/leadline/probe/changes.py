"""What a model changes of itself while it runs, and nobody puts back: weights it writes on, modules it makes."""

from leadline.probe.modules import Anatomy


class Changes:
    """Compares a model with what it was.

    Args:
        parts: The model, before it runs.
    """

    def __init__(self, parts: Anatomy):
        self._parts = parts
        self._versions = {name: parameter._version for name, parameter in parts.parameters.items()}
        self._modules = set(parts.model.modules())

    @property
    def written(self) -> tuple[str, ...]:
        """Names of the parameters that were written on since."""
        return tuple(name for name, p in self._parts.parameters.items() if p._version != self._versions[name])

    @property
    def late(self) -> tuple[str, ...]:
        """Dotted names of the modules with parameters that were made since."""
        made = [(path, module) for path, module in self._parts.model.named_modules() if module not in self._modules]
        return tuple(path for path, module in made if any(True for _ in module.parameters(recurse=False)))
