"""A target's words made a model, a batch, and a way to draw the model again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.data.batch import Inputs
from leadline.targets import built_in, factory, hf, timm_models
from leadline.targets.grammar import Spec, parse
from leadline.targets.images import IMAGES
from leadline.targets.placement import device_of, dtype_of, place
from leadline.targets.plan import Plan, Wanted

_DATA = (*IMAGES, "gaussian", "tokens")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to measure.

    Attributes:
        name: The target as it was written.
        model: The model, drawn at the seed, on its device and in its dtype.
        inputs: One batch for it: a tensor, a tuple of positional or a dict of keyword arguments.
        targets: What should come out, or ``None``.
        loss: A loss of the target's own, or ``None`` for the usual one.
        pool: Inputs and targets of all samples that the batch was taken of, or ``None``.
        build: Draws the model again: ``build(seed)``, or ``build(seed, width=64)`` with options replaced.
        description: Model, batch and seed in a line.
    """

    name: str
    model: nn.Module
    inputs: Inputs
    targets: Tensor | None = None
    loss: Callable[[Any, Any], Tensor] | None = None
    pool: tuple[Tensor, Tensor | None] | None = None
    build: Callable[..., nn.Module]
    description: str


def load(
    target: str,
    *,
    data: str | None = None,
    batch: int | None = None,
    input_shape: Sequence[int] | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Target:
    """Build what ``target`` names, and a batch for it.

    | target | what it is | batch by default |
    |---|---|---|
    | ``mlp:depth=100,norm=batch`` | a built-in design with options, see ``designs()`` | 64 digits (``gpt``: tokens) |
    | ``hf:gpt2,n_layer=4`` | a model type of `transformers`, values of its config replaced | 8 of its kind |
    | ``timm:resnet18`` | a model of `timm` | 8 Gaussian images |
    | ``file.py:build,width=64`` | a function in a file, called with the options it takes | its own |
    | ``package.module:build`` | a function in a module | its own |

    A function returns a Module, ``(module, inputs)`` or ``(module, inputs, targets)``. A lone module gets images or
    Gaussian samples of ``input_shape`` where they are asked for, otherwise what its first layer takes, without targets.

    Args:
        target: What to build, as in the table.
        data: ``"gaussian"``, ``"tokens"`` or a data set of ``leadline.data.load``, such as ``"cifar10"``;
            by default what suits the model.
        batch: Number of samples, at least 1; by default what suits the model.
        input_shape: Shape of one sample, without the batch axis; of a sequence its length.
        seed: Seed of the weights and of the batch. A function of the user's that has a parameter ``seed`` is given it,
            and runs with the global generators of torch, NumPy and Python started from it. All are put back.
        device: Where model and batch live.
        dtype: Dtype of parameters, float buffers and float inputs, by name or as torch's; by default as built.
        overrides: Options that replace those in ``target``.

    Returns:
        The target; its model is in train mode unless a function of the user's returned it otherwise.

    Raises:
        UsageError: If anything in the call is wrong; the message says what, and offers the nearest name.
        MissingExtraError: If the target needs a library that is not installed.

    Example:
        >>> target = load("mlp:depth=3,norm=batch", batch=16)
        >>> target.inputs.shape, len(target.model.blocks)
        (torch.Size([16, 1, 8, 8]), 3)
        >>> target.build(7, depth=5).blocks[4].linear
        Linear(in_features=128, out_features=128, bias=False)
    """
    where, numbers = device_of(device), None if dtype is None else dtype_of(dtype)
    wanted = Wanted(
        data=_checked_data(data),
        batch=_checked_batch(batch),
        input_shape=_checked_shape(input_shape),
        seed=_checked_seed(seed),
        overrides=dict(overrides or {}),
    )
    plan = _plan(parse(target), wanted)

    def build(seed: int, /, **options: Any) -> nn.Module:
        model = plan.build(_checked_seed(seed), {**wanted.overrides, **options})
        return place(model, device=where, dtype=numbers)

    pool = plan.batch.pool and (plan.batch.pool.samples, plan.batch.pool.targets)
    return Target(
        name=target,
        model=place(plan.model, device=where, dtype=numbers),
        inputs=place(plan.batch.inputs, device=where, dtype=numbers),
        targets=place(plan.batch.targets, device=where, dtype=numbers),
        pool=place(pool, device=where, dtype=numbers),
        build=build,
        description=f"{target} on {plan.about}, seed {seed}",
    )


def _plan(spec: Spec, wanted: Wanted) -> Plan:
    if spec.kind == "design":
        return built_in.plan(spec.place, spec.options, wanted)
    if spec.kind == "timm":
        return timm_models.plan(spec.place, spec.options, wanted)
    if spec.kind == "hf":
        return hf.plan(spec.place, spec.options, wanted)
    return factory.plan(spec, wanted)


def _checked_data(data: str | None) -> str | None:
    if isinstance(data, str) and ":" in data:
        raise UsageError(
            f"data is the name of a data set; got {data!r}. Data of your own comes with the model: let the target be a "
            "function that returns (model, inputs, targets)."
        )
    return data if data is None else check_choice("data", data, _DATA)


def _checked_batch(batch: int | None) -> int | None:
    if batch is not None and batch < 1:
        raise UsageError(f"The batch must have at least 1 sample; got {batch}.")
    return batch


def _checked_shape(shape: Sequence[int] | None) -> tuple[int, ...] | None:
    if shape is None:
        return None
    if not shape or min(shape) < 1:
        raise UsageError(f"The input shape is that of one sample, such as (3, 32, 32); got {tuple(shape)}.")
    return tuple(shape)


def _checked_seed(seed: int) -> int:
    if not 0 <= seed < 2**63:
        raise UsageError(f"The seed must be a whole number from 0 and below 2⁶³; got {seed}.")
    return seed
