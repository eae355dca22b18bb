"""Whether training passes the rule of a trainer: what each mechanism costs it, in log odds."""

from collections.abc import Mapping
from dataclasses import dataclass

from leadline.doctor.trainable_mechanisms import Mechanism


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A trainer with its rule, and the fitted costs of the mechanisms that make it fail.

    Attributes:
        rule: The trainer, its rates and steps, the task and the rule.
        usual: Log odds of a network whose figures are all those of the median network that trained.
        mechanisms: What lowers them.
    """

    rule: str
    usual: float
    mechanisms: tuple[Mechanism, ...]

    def log_odds(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Mechanism -> its contribution to the log odds; ``"usual"`` is what a network has whose figures all are."""
        parts = {each.name: each.contribution(figures[each.figure]) for each in self.mechanisms}
        return {"usual": self.usual, **parts}


_RULE = (
    "{} at {}, 150 steps of batch 64 on 8×8 digits: "
    "the best of the three mean losses of the last 20 steps is below 1.0 (chance is 2.30)"
)

# Fitted by `python benchmarks/trainability.py fit`: maximum likelihood with all weights at least 0 and a ridge of 5e-4,
# on 740 small networks that were trained, 537 of them with success. Ranking networks of an activation, norm and
# initialisation that the fit has not seen, the area under the ROC curve is .983 (`validate`).
ADAM = Trainer(
    rule=_RULE.format("Adam", "1e-2, 1e-3 and 1e-4"),
    usual=6.601,
    mechanisms=(
        Mechanism(
            name="alignment of gradients",
            harmful="gradients of different samples point in few directions",
            unit="",
            figure="gradient_directions",
            harm=-1,
            knots=(0.889, 0.776),
            scale=0.237,
            weights=(1.357, 0.619),
        ),
        Mechanism(
            name="differences between samples",
            harmful="what tells samples apart is faint",
            unit="decades",
            figure="distinct_signal",
            harm=-1,
            knots=(-0.105, -0.349),
            scale=0.396,
            weights=(1.513, 0.0),
        ),
        Mechanism(
            name="directions of the signal",
            harmful="most directions of the signal are much fainter than the strongest",
            unit="nats",
            figure="isometry_gap",
            harm=1,
            knots=(1.209, 3.42),
            scale=3.458,
            weights=(0.0, 1.263),
        ),
        Mechanism(
            name="size of gradients",
            harmful="gradients of weights are large beside that of the output",
            unit="decades",
            figure="gradient_entry",
            harm=1,
            knots=(-3.504, -1.068),
            scale=0.714,
            weights=(3.058, 0.992),
        ),
        Mechanism(
            name="spread of gradients",
            harmful="gradients differ much between weights",
            unit="decades",
            figure="gradient_spread",
            harm=1,
            knots=(0.199, 0.712),
            scale=0.790,
            weights=(1.547, 1.729),
        ),
        Mechanism(
            name="depth without skips",
            harmful="many layers stand in a row without a skip",
            unit="decades",
            figure="plain_depth",
            harm=1,
            knots=(0.0, 0.699),
            scale=1.079,
            weights=(2.445, 1.441),
        ),
    ),
)

# Fitted likewise on 351 of those networks trained by plain descent, 226 of them with success; the area is 0.977.
SGD = Trainer(
    rule=_RULE.format("SGD with momentum 0.9", "1e-1, 1e-2 and 1e-3"),
    usual=5.825,
    mechanisms=(
        Mechanism(
            name="alignment of gradients",
            harmful="gradients of different samples point in few directions",
            unit="",
            figure="gradient_directions",
            harm=-1,
            knots=(0.883, 0.79),
            scale=0.188,
            weights=(0.0, 1.775),
        ),
        Mechanism(
            name="differences between samples",
            harmful="what tells samples apart is faint",
            unit="decades",
            figure="distinct_signal",
            harm=-1,
            knots=(-0.107, -0.303),
            scale=0.222,
            weights=(1.482, 2.088),
        ),
        Mechanism(
            name="directions of the signal",
            harmful="most directions of the signal are much fainter than the strongest",
            unit="nats",
            figure="isometry_gap",
            harm=1,
            knots=(0.929, 2.845),
            scale=2.797,
            weights=(0.0, 0.008),
        ),
        Mechanism(
            name="spread of gradients",
            harmful="gradients differ much between weights",
            unit="decades",
            figure="gradient_spread",
            harm=1,
            knots=(0.174, 0.619),
            scale=0.570,
            weights=(1.918, 0.0),
        ),
        Mechanism(
            name="depth without skips",
            harmful="many layers stand in a row without a skip",
            unit="decades",
            figure="plain_depth",
            harm=1,
            knots=(0.0, 0.699),
            scale=1.041,
            weights=(1.101, 1.729),
        ),
        Mechanism(
            name="large gradients",
            harmful="the gradient of all weights is large",
            unit="decades",
            figure="gradient_scale",
            harm=1,
            knots=(-0.741, 0.528),
            scale=0.807,
            weights=(4.186, 1.607),
        ),
        Mechanism(
            name="faint gradients",
            harmful="the gradient of all weights is faint",
            unit="decades",
            figure="gradient_scale",
            harm=-1,
            knots=(1.841, 0.528),
            scale=0.807,
            weights=(2.158, 0.0),
        ),
    ),
)

TRAINERS = {"adam": ADAM, "sgd": SGD}
