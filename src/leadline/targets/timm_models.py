"""Models of `timm` by name, with random weights."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from leadline._core.errors import UsageError
from leadline._core.extras import require
from leadline._core.names import check_choice, nearest
from leadline._core.randomness import seeded
from leadline.data import gaussian
from leadline.targets.foreign import told
from leadline.targets.options import guessed
from leadline.targets.plan import Plan, Wanted, counted, images_at_once, times


def plan(name: str, options: Mapping[str, Any], wanted: Wanted) -> Plan:
    """``timm.create_model(name, pretrained=False, **options)`` and Gaussian images of the size it is made for.

    Raises:
        UsageError: If timm has no such model (the nearest is offered), or refuses an option.
        MissingExtraError: If timm or its torchvision cannot be imported.
    """
    timm = require("timm", extra="vision")
    if not timm.is_model(name):
        guess = nearest(name, timm.list_models())
        raise UsageError(f"timm has no model {name!r}" + (f"; did you mean 'timm:{guess}'?" if guess else "."))
    check_choice(f"data for timm:{name}", wanted.data or "gaussian", ("gaussian",))

    def build(seed: int, overrides: Mapping[str, Any]) -> nn.Module:
        values = {key: guessed(value) for key, value in {**options, **overrides}.items()}
        with told(f"timm:{name}"), seeded(seed):
            return timm.create_model(name, pretrained=False, **values)

    model: Any = build(wanted.seed, wanted.overrides)
    shape = wanted.input_shape or tuple(model.pretrained_cfg["input_size"])
    size = wanted.batch or images_at_once(shape)
    batch = gaussian(size, shape, seed=wanted.seed, classes=model.num_classes or None)
    return Plan(model=model, build=build, batch=batch, about=f"{counted(size, 'Gaussian sample')} of {times(shape)}")
