"""What a record says, in words: numbers as a reader writes them, and the sentences of the verdict."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from leadline._core.diagnosis import DepthLimit, Diagnosis
from leadline._core.profile import LayerProfile
from leadline._core.rates import Rate
from leadline._core.sources import Source
from leadline._core.wording import FARTHEST, count as count, number as number, reach

# Metric of a layer -> its unit and what it is, for the columns of the table and the axes of the plots.
MEANINGS = {
    "rms": ("", "root mean square of the output over all its entries"),
    "grad_norm": ("", "Euclidean norm of the gradient of the loss with respect to the output"),
    "weight_grad_norm": ("", "Euclidean norm of the gradient with respect to the layer's own parameters"),
    "update_ratio": ("", "length of one plain step on the weights over the length of the weights"),
    "participation_ratio": ("1 to rows", "number of directions that carry the batch, (Σλ)²/Σλ² of its spectrum"),
    "centred_participation_ratio": ("1 to rows", "the same after the mean over samples is taken away"),
    "isometry_gap": ("nats", "log mean λ − mean log λ: 0 for orthogonal samples of one length, ∞ for dependent ones"),
    "mean_square_cosine": ("0 to 1", "square of the cosine between two different samples, on average; 1: all aligned"),
    "distinction": ("0 to 1", "share of the squared length that tells samples apart, 1 − n‖mean‖²/‖x‖²"),
    "grad_mean_square_cosine": ("0 to 1", "the mean square cosine between the gradients of different samples"),
    "token_mean_square_cosine": ("0 to 1", "the mean square cosine between positions of one sequence"),
    "token_distinction": ("0 to 1", "the distinction between positions of one sequence"),
    "dead_fraction": ("share", "units that give zero for every sample of the batch"),
    "saturated_fraction": ("share", "activations where the slope is nearly zero"),
    "stream_rms": ("", "root mean square of the residual stream, the input of the branch"),
    "branch_rms": ("", "root mean square of what the branch adds to the stream"),
}

# How a tensor became rows -> what a row is.
ROWS = {
    "samples": "one row a sample, everything else flattened into features",
    "positions": "one row a position of a sample, channels as features: batch normalisation's own view",
    "tokens": "one row a position of a sequence, masked ones left out",
}

# Kind of a loss -> how it came about.
LOSSES = {
    "cross_entropy": "cross entropy",
    "mse": "mean square error",
    "model": "the model's own",
    "custom": "as given",
    "cotangent": "a fixed random unit cotangent, no targets",
}


def plain(value: Any) -> str:
    """Any piece of evidence as a reader writes it; long lists end in how many more there are.

    >>> plain([1, 2.5, "fc1"]), plain({"rate": 0.25}), plain(True)
    ('1, 2.50, fc1', 'rate 0.250', 'yes')
    """
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, Mapping):
        return plain([f"{key} {plain(item)}" for key, item in value.items()])
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = [plain(item) for item in value[:8]]
        return ", ".join(shown) + (f" and {len(value) - 8} more" if len(value) > 8 else "")
    return str(value)


def probability(score: float) -> str:
    """A probability in two digits, never rounded to certainty.

    >>> probability(0.034), probability(0.001), probability(0.9999)
    ('0.03', 'below 0.01', 'above 0.99')
    """
    if 0 <= score < 0.005:
        return "below 0.01"
    if 0.995 < score <= 1:
        return "above 0.99"
    return number(score) if math.isnan(score) else f"{score:.2f}"


def verdict(diagnosis: Diagnosis) -> str:
    """Whether the network will train, in one sentence with the probability.

    From a quarter to three quarters the sentence takes no side.
    """
    score = diagnosis.trainable
    if math.isnan(score):
        return "Whether this network will train could not be told."
    chance = "probably not train" if will_not_train(score) else "probably train" if score > 0.75 else None
    if chance is None:
        return f"This network may or may not train ({probability(score)})."
    return f"This network will {chance} ({probability(score)})."


def caveat(diagnosis: Diagnosis) -> str:
    """What an error means beside a chance above one half: only errors that training can mend leave one. Or nothing."""
    if diagnosis.healthy or not diagnosis.trainable > 0.5:
        return ""
    return "That it has an error and may train is no contradiction: the first steps can mend what a single layer does."


def will_not_train(score: float) -> bool:
    """Whether the verdict is that the network will probably not train.

    >>> will_not_train(0.24), will_not_train(float("nan"))
    (True, False)
    """
    return score < 0.25


def tally(diagnosis: Diagnosis) -> str:
    """How many findings of each severity there are.

    >>> from leadline._core.diagnosis import DepthLimit, Diagnosis
    >>> from leadline._core.profile import Profile
    >>> limit = DepthLimit(estimate=40.0, low=30.0, high=60.0, mechanism="")
    >>> tally(Diagnosis(profile=Profile(layers=()), depth_limit=limit))
    'no findings'
    """
    severities = [finding.severity for finding in diagnosis.findings]
    counts = [count(severities.count(s), s) for s in ("error", "warning", "note") if s in severities]
    return ", ".join(counts) or "no findings"


def depth_sentence(limit: DepthLimit, depth: int, *, unit: str = "block", faulty: bool = False) -> str:
    """How deep the design carries, beside the ``depth`` that this network has.

    Args:
        limit: The limit.
        depth: Links of the chain.
        unit: What depth is counted in.
        faulty: Whether there is an error, of which a limit beyond the depth does not speak.

    >>> depth_sentence(DepthLimit(estimate=41.6, low=30.2, high=60.0, mechanism="gradients underflow"), 100)
    'The design carries about 42 blocks (30 to 60); this network has 100. What gives out first: gradients underflow.'
    >>> depth_sentence(DepthLimit(estimate=2.9e6, low=8e5, high=2.9e6, mechanism=""), 6)
    'The design carries more than 10,000 blocks (an extrapolation); this network has 6.'
    """
    own = f"this network has {depth}."
    if math.isnan(limit.estimate):
        why = f" ({limit.mechanism})" if limit.mechanism else ""
        return f"How many {unit}s the design carries could not be told{why}; {own}"
    design = "But for what is wrong, the design" if faulty and limit.estimate > depth else "The design"
    if math.isinf(limit.estimate):
        return f"{design} carries any number of {unit}s, as far as theory and measurement can tell; {own}"
    mechanism = f" What gives out first: {limit.mechanism.rstrip('.')}." if limit.mechanism else ""
    about = "about " if limit.estimate <= FARTHEST else ""
    return f"{design} carries {about}{depth_of(limit.estimate, unit=unit)} ({interval(limit)}); {own}{mechanism}"


def depth_of(quantity: float, *, unit: str = "block") -> str:
    """A depth in its unit.

    >>> depth_of(1.2), depth_of(41.6), depth_of(math.inf)
    ('1 block', '42 blocks', 'no limit')
    """
    if math.isnan(quantity):
        return "unknown"
    return "no limit" if math.isinf(quantity) else f"{reach(quantity)} {unit}{'' if round(quantity) == 1 else 's'}"


def interval(limit: DepthLimit) -> str:
    """The interval of a depth limit, and whether the limit lies far beyond what was measured.

    >>> interval(DepthLimit(estimate=41.6, low=30.2, high=math.inf, mechanism=""))
    '30 to ∞'
    >>> interval(DepthLimit(estimate=2e4, low=6000.0, high=3e4, mechanism=""))
    'from 6000 on, an extrapolation'
    """
    if not FARTHEST < limit.estimate < math.inf:
        return f"{reach(limit.low)} to {reach(limit.high)}"
    return f"from {reach(limit.low)} on, an extrapolation" if limit.low <= FARTHEST else "an extrapolation"


def rate_sentence(rate: Rate, *, unit: str = "block") -> str:
    """A measured rate with its interval; empty where none was measured.

    >>> rate_sentence(Rate(estimate=-0.3, low=-0.32, high=-0.28, increments=99))
    'Rate: −0.300 decades per block (−0.320 to −0.280), a factor of 0.501 each.'
    """
    if not math.isfinite(rate.estimate):
        return ""
    bounds = f" ({number(rate.low)} to {number(rate.high)})" if math.isfinite(rate.low + rate.high) else ""
    factor = f", a factor of {number(10**rate.estimate)} each" if abs(rate.estimate) < 300 else ""
    return f"Rate: {number(rate.estimate)} decades per {unit}{bounds}{factor}."


def ends(metric: str, layers: Sequence[LayerProfile]) -> tuple[LayerProfile, ...]:
    """The first and the last layer that the metric applies to; one where there is one, none where there is none."""
    there = [layer for layer in layers if not math.isnan(getattr(layer, metric))]
    return (there[0], there[-1]) if len(there) > 1 else tuple(there)


def meaning(metric: str) -> str:
    """What a metric is, with its unit.

    >>> meaning("dead_fraction")
    'units that give zero for every sample of the batch (share)'
    """
    unit, what = MEANINGS[metric]
    return f"{what} ({unit})" if unit else what


def arxiv_address(source: Source) -> str:
    """Address of the paper where it is on arXiv, otherwise empty.

    >>> arxiv_address(Source(key="he2015"))
    'https://arxiv.org/abs/1502.01852'
    """
    _, found, rest = str(source).partition("arXiv:")
    return f"https://arxiv.org/abs/{rest.partition(')')[0]}" if found else ""
