"""`leadline check … --what-if`: which changes of the target, or of a perceptron of its parts, carry it deeper."""

from collections.abc import Callable, Sequence
from functools import partial

from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline.doctor import WhatIf, recognise, what_if
from leadline.targets import Target, load, variants
from leadline.targets.grammar import parse

DEPTHS = (10, 100, 1000)


def changes_of(
    target: Target,
    seen: Profile,
    load_with: Callable[..., Target],
    *,
    depths: Sequence[int] | None,
    trainer: str,
    seed: int,
    on_step: Callable[[str], None],
) -> tuple[WhatIf, str]:
    """What other designs would do in the place of ``target``, and which network stood for it.

    Of a built-in design its own options are changed. Of any other model the parts of its repeated links are known, and
    a perceptron of the same parts, width and gain stands for it. ``load_with(batch=…)`` loads the target with another
    number of samples.

    Raises:
        UsageError: If the links are not of parts that a perceptron can be made of.
    """
    own = parse(target.name).kind == "design"
    again = load_with if own else partial(load, written_as_mlp(seen), seed=seed)
    stand_in = target if own else again(batch=seen.batch)
    now, choices = variants(stand_in.name)
    sizes = [size for size in (seen.batch // 4, seen.batch * 4) if size > 1]
    found = what_if(
        stand_in.build,
        stand_in.inputs,
        stand_in.targets,
        now=now,
        choices=choices,
        depths=depths or DEPTHS,
        batches={size: (other.inputs, other.targets) for size in sizes for other in [again(batch=size)]},
        loss=stand_in.loss,
        trainer=trainer,
        seed=seed,
        on_step=on_step,
    )
    return found, stand_in.name


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
