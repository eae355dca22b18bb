"""The training behind the coordinate check: a few updates on one batch, with every output watched."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.randomness import seeded
from leadline._core.unstored import refuse_unstored
from leadline.probe.inputs import Batch, first_float
from leadline.probe.loss import Loss, scalar_loss

Step = Callable[[], object]
Optimiser = Literal["adam", "sgd"] | Callable[[nn.Module], torch.optim.Optimizer]

OUTPUT = "output"
_LR = {"adam": 1e-3, "sgd": 0.1}


def update_rule(optimiser: Optimiser, lr: float | None) -> Callable[[nn.Module], Step]:
    """What makes the update of a model: of the name of a rule, or of the caller's own.

    Raises:
        UsageError: If the name is unknown, ``lr`` is not positive, or it is given beside the caller's own optimiser.
    """
    if callable(optimiser):
        if lr is not None:
            raise UsageError("lr belongs to 'adam' and 'sgd'; an optimiser of your own brings its rates.")
        return lambda model: optimiser(model).step
    name = check_choice("optimiser", optimiser, _LR)
    if lr is not None and not 0 < lr < math.inf:
        raise UsageError(f"The learning rate must be positive and finite; got {lr}.")
    rule = {"adam": _adam, "sgd": _sgd}[name]

    def made(model: nn.Module) -> Step:
        refuse_unstored(model, optimiser=name)
        return rule(list(model.parameters()), _LR[name] if lr is None else lr)

    return made


# Two update rules of our own: the first optimiser of torch.optim in a process imports the compiler, which takes longer
# than the whole check.
def _sgd(parameters: list[nn.Parameter], lr: float) -> Step:
    @torch.no_grad()
    def step() -> None:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-lr)

    return step


def _adam(parameters: list[nn.Parameter], lr: float, *, betas: tuple[float, float] = (0.9, 0.999)) -> Step:
    moments: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}
    count = 0

    @torch.no_grad()
    def step() -> None:
        nonlocal count
        count += 1
        for parameter in parameters:
            if (grad := parameter.grad) is None:
                continue
            zeros = torch.zeros_like(parameter)
            mean, square = moments.setdefault(parameter, (zeros, zeros.clone()))
            mean.lerp_(grad, 1 - betas[0])
            square.mul_(betas[1]).addcmul_(grad, grad, value=1 - betas[1])
            scale = square.sqrt().div_(math.sqrt(1 - betas[1] ** count)).add_(1e-8)
            parameter.addcdiv_(mean, scale, value=-lr / (1 - betas[0] ** count))

    return step


def trained(
    model: nn.Module, batch: Batch, targets: Tensor | None, *, step: Step, steps: int, loss: Loss | None
) -> tuple[dict[tuple[int, str, str], float], dict[str, tuple[int, ...]]]:
    """(step, module, metric) -> value, over ``steps`` updates on one batch, and module -> shape of its output.

    Every pass draws the same random numbers, so that dropout alone changes nothing.
    """
    measured: dict[tuple[int, str, str], Tensor] = {}
    initial: dict[str, Tensor] = {}
    for done in range(steps + 1):
        with _watched(model) as outputs, seeded(0), torch.set_grad_enabled(done < steps):
            result = model(*batch.args, **batch.kwargs)
        for module, x in outputs.items():
            start = initial.setdefault(module, x)
            measured[done, module, "mean_abs"] = x.abs().mean()
            measured[done, module, "mean_abs_change"] = (x - start).abs().mean()
        if done < steps:
            model.zero_grad()
            scalar_loss(result, targets, loss, seed=0)[0].backward()
            step()
    values = dict(zip(measured, torch.stack(list(measured.values())).tolist(), strict=True))
    return values, {module: tuple(x.shape) for module, x in initial.items()}


@contextmanager
def _watched(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """A copy of each parameter leaf's and of the model's output, by name; hooks are removed at the end."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            # Of a module that runs several times the last output; a copy, since the next module may work in place.
            if (x := first_float(output)) is not None:
                outputs[name] = x.detach().float().clone()

        return hook

    leaves = [
        (n, m) for n, m in model.named_modules() if n and not any(m.children()) and any(True for _ in m.parameters())
    ]
    handles = [module.register_forward_hook(keep(name)) for name, module in leaves]
    handles.append(model.register_forward_hook(keep(OUTPUT)))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
