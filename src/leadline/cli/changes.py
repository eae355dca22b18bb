"""`leadline check … --what-if`: which changes of the target, or of a perceptron of its parts, carry it deeper."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline.doctor import WhatIf, recognise, what_if
from leadline.targets import Target, load, variants
from leadline.targets.grammar import parse

DEPTHS = (10, 100, 1000)


def changes_of(
    target: Target, seen: Profile, *, depths: Sequence[int] | None, seed: int, on_step: Callable[[str], None]
) -> tuple[WhatIf, str]:
    """What other designs would do in the place of ``target``, and which network stood for it.

    Of a built-in design its own options are changed. Of any other model the parts of its repeated links are known, and
    a perceptron of the same parts, width and gain stands for it.

    Raises:
        UsageError: If the links are not of parts that a perceptron can be made of.
    """
    own = parse(target.name).kind == "design"
    stand_in = target if own else load(written_as_mlp(seen), batch=seen.batch, seed=seed)
    now, choices = variants(stand_in.name)
    sizes = [size for size in (seen.batch // 4, seen.batch * 4) if size > 1]
    found = what_if(
        stand_in.build,
        stand_in.inputs,
        stand_in.targets,
        now=now,
        choices=choices,
        depths=depths or DEPTHS,
        batches={size: _batch(stand_in, size, seed) for size in sizes},
        loss=stand_in.loss,
        seed=seed,
        on_step=on_step,
    )
    return found, stand_in.name


def _batch(target: Target, size: int, seed: int) -> tuple[Any, Tensor | None]:
    other = load(target.name, batch=size, seed=seed)
    return other.inputs, other.targets


def written_as_mlp(seen: Profile) -> str:
    """The perceptron that has the parts of a model's links, as a target."""
    design = recognise(seen)
    if design is None or not design.width:
        raise UsageError(
            "--what-if changes the norm, activation, weights and skip of repeated links; those of this model are not "
            "made of linear maps, one norm and one activation. Give a built-in design such as mlp:depth=50 that is."
        )
    stds = sorted(std for std in design.weight_std if std > 0)
    law = "default" if design.bias_std > 0 else "orthogonal" if design.orthogonal else "gaussian"
    options = {
        "depth": max(2, len(seen.chain) * design.maps),
        "width": design.width,
        "activation": design.activation,
        "norm": design.norm,
        "init": law,
        "gain": round(stds[len(stds) // 2], 4) if stds and law != "default" else 1.0,
        "skip": float(design.residual),
    }
    return "mlp:" + ",".join(f"{name}={value}" for name, value in options.items())
