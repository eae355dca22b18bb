"""A function of the user's that builds the model, and perhaps its batch."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.names import nearest
from leadline._core.randomness import seeded
from leadline.data import Batch
from leadline.targets.foreign import import_file, import_module, on_path, told
from leadline.targets.grammar import Spec, no_such_target
from leadline.targets.lone import batch_for
from leadline.targets.options import as_kind, check_names, guessed
from leadline.targets.plan import Plan, Wanted


def plan(spec: Spec, wanted: Wanted) -> Plan:
    """The model that the function builds, with its own batch or with one that suits the model.

    Raises:
        UsageError: If there is no such file or function, an option is not the function's, it raises, or it
            returns something else than a module, ``(module, inputs)`` or ``(module, inputs, targets)``.
    """
    factory = _find(spec)

    def build(seed: int, overrides: Mapping[str, Any]) -> nn.Module:
        return factory.run(seed, {**spec.options, **overrides})[0]

    model, batch = factory.run(wanted.seed, {**spec.options, **wanted.overrides})
    if batch is None:
        batch, about = batch_for(model, wanted, whose=factory.name)
        return Plan(model=model, build=build, batch=batch, about=about)
    if given := next((name for name in ("data", "batch", "input_shape") if getattr(wanted, name) is not None), None):
        raise UsageError(f"{factory.name} brings its own inputs, so {given} has no effect; leave it out.")
    return Plan(model=model, build=build, batch=batch, about="its own batch")


@dataclass(frozen=True, kw_only=True)
class _Factory:
    """A callable, its name to a reader, and where it lives."""

    call: Callable[..., Any]
    name: str
    file: Path | None

    def run(self, seed: int, options: Mapping[str, Any]) -> tuple[nn.Module, Batch | None]:
        """Call it with every global generator started from ``seed``; a parameter called ``seed`` is given it too."""
        keywords = self._keywords(seed, options)
        home = self.file.parent if self.file else Path.cwd()
        with seeded(seed), on_path(home), told(self.name, module=getattr(self.call, "__module__", None) or ""):
            made = self.call(**keywords)
        return self._checked(made)

    def _keywords(self, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
        try:
            parameters = inspect.signature(self.call).parameters
        except ValueError:
            parameters = {}
        named = {name: p for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            check_names(options, named, whose=self.name)
        values = {key: self._value(key, value, named.get(key)) for key, value in options.items()}
        if "seed" in named:
            values.setdefault("seed", seed)
        if missing := [name for name, p in named.items() if p.default is p.empty and name not in values]:
            raise UsageError(f"{self.name} needs {', '.join(missing)}; give it behind the function, as {missing[0]}=….")
        return values

    def _value(self, key: str, value: Any, parameter: inspect.Parameter | None) -> Any:
        """The value as the parameter's annotation or default says, otherwise as Python would read it."""
        if parameter is None or not isinstance(value, str):
            return guessed(value)
        kinds = {kind.__name__: kind for kind in (int, float, bool, str)}
        # Under `from __future__ import annotations` the annotation is its own source.
        annotation = getattr(parameter.annotation, "__name__", parameter.annotation)
        kind = kinds.get(annotation) or kinds.get(type(parameter.default).__name__)
        return as_kind(kind, value, what=f"{self.name} option {key}") if kind else guessed(value)

    def _checked(self, made: Any) -> tuple[nn.Module, Batch | None]:
        if isinstance(made, nn.Module):
            return made, None
        if isinstance(made, tuple) and len(made) in (2, 3) and isinstance(made[0], nn.Module):
            model, inputs, *rest = made
            targets = self._targets(rest[0]) if rest else None
            if isinstance(inputs, list):
                inputs = tuple(inputs)
            if isinstance(inputs, (Tensor, tuple)):
                return model, Batch(inputs=inputs, targets=targets)
            if isinstance(inputs, Mapping):
                return model, Batch(inputs=dict(inputs), targets=targets)
        raise UsageError(
            f"{self.name} must return a Module, (module, inputs) or (module, inputs, targets), with inputs a tensor, "
            f"a tuple or a dict; got {_described(made)}."
        )

    def _targets(self, targets: Any) -> Any:
        """The targets that it returned, which are a tensor or can become one."""
        try:
            torch.as_tensor(targets) if targets is not None else None
        except (TypeError, ValueError, RuntimeError):
            raise UsageError(f"{self.name} must return targets that are a tensor; got {_described(targets)}.") from None
        return targets


def _described(made: Any) -> str:
    if isinstance(made, tuple):
        return f"({', '.join(type(part).__name__ for part in made)})"
    return type(made).__name__


def _find(spec: Spec) -> _Factory:
    module, where = _module(spec)
    file = Path(module.__file__) if module.__file__ else None
    call = getattr(module, spec.function, None)
    if call is None:
        own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        guess = nearest(spec.function, own)
        hint = f"; did you mean {guess!r}?" if guess else "."
        raise UsageError(f"{where} has no function {spec.function!r}{hint}")
    name = f"{spec.function} in {where}"
    if isinstance(call, nn.Module):
        raise UsageError(
            f"{name} is a model already; name a function that builds it, so that its weights can be drawn again."
        )
    if not callable(call):
        raise UsageError(f"{name} is no function but a value of type {type(call).__name__}.")
    return _Factory(call=call, name=name, file=file)


def _module(spec: Spec) -> tuple[ModuleType, str]:
    if spec.kind == "file":
        path = Path(spec.place).expanduser()
        with seeded(0):
            return import_file(path), path.name
    with seeded(0):
        module = import_module(spec.place)
    if module is None:
        raise UsageError(no_such_target(f"{spec.place}:{spec.function}"))
    return module, spec.place
