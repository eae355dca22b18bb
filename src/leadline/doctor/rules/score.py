"""What the score of trainability says where no single figure passes a limit."""

import math
from collections.abc import Iterator

from leadline._core.diagnosis import Finding
from leadline._core.profile import Profile
from leadline._core.sources import Source
from leadline._core.wording import figure
from leadline.doctor.registry import rule
from leadline.doctor.trainable import trainable
from leadline.doctor.trainable_mechanisms import Mechanism, measure
from leadline.doctor.trainers import ADAM


@rule("hard-to-train", source=Source(key="leadline"))
def hard_to_train(profile: Profile, *, limit: float = 0.35, share: float = 0.5) -> Iterator[Finding]:
    """A network whose figures, taken together, are like those of networks that did not train.

    Its probability of training is below ``limit``; named is what lowers it most, and whatever lowers it at least
    ``share`` times as much. It is a note, since the score was fitted to small networks on one task, and is left out
    where another finding says what is wrong.
    """
    score = trainable(profile)
    if not (score.probability < limit) or any(map(math.isinf, score.evidence.values())):
        return
    figures = measure(profile)
    worst = sorted(ADAM.mechanisms, key=lambda each: score.evidence[each.name])
    named = [each for each in worst if score.evidence[each.name] <= share * score.evidence[worst[0].name] < 0]
    reasons = "; ".join(_reason(each, figures[each.figure], score.evidence[each.name]) for each in named)
    yield Finding(
        code="hard-to-train",
        layer="",
        severity="note",
        message=f"Networks with such figures seldom train (probability {figure(score.probability)}): {reasons}.",
        evidence={"probability": score.probability, **{each.name: score.evidence[each.name] for each in named}},
    )


def _reason(mechanism: Mechanism, value: float, cost: float) -> str:
    here, usual = f"{figure(value)} {mechanism.unit}".strip(), figure(mechanism.knots[1])
    return f"{mechanism.harmful} ({here}, {usual} in the median network that trained; {figure(cost)} nats of log odds)"
