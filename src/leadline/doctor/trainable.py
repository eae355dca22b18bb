"""The probability that a network trains: what its gradients and representations at initialisation cost it, added up."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from leadline._core.diagnosis import Finding
from leadline._core.names import check_choice
from leadline._core.profile import Profile
from leadline._core.wording import figure
from leadline.doctor.trainable_mechanisms import gradient_size, gradients, log10, measure
from leadline.doctor.trainers import ADAM, COMPARISON, TRAINERS, Trainer

# Log odds that a network whose chain drifts as far as the rules call an error has at most.
MOST_WITH_DRIFT = math.log(2 / 59)
# And one whose weights' gradients are mostly below what the trainer adds to them.
MOST_UNFELT = math.log(1 / 88)
# And one with batch normalisation over two values.
MOST_WITH_SMALL_BATCH_NORM = math.log(1 / 6)


@dataclass(frozen=True, kw_only=True)
class Trainability:
    """A probability, and what it rests on.

    Attributes:
        probability: That training passes the rule, in [0, 1]; ``nan`` where the profile says nothing about it.
        rule: The trainer, its rates and steps, the task and the rule; of sequences, that it is another task.
        evidence: Mechanism -> its contribution to the log odds, in nats, above 0 for training and below 0 against
            it. They add up to the log odds; ``"usual"`` is what a network has whose figures are all usual.
    """

    probability: float
    rule: str
    evidence: Mapping[str, float]


def trainable(profile: Profile, findings: Sequence[Finding] = (), *, trainer: str = "adam") -> Trainability:
    r"""Probability that training passes the trainer's rule, from one forward and backward pass at initialisation.

    $$\log\frac{p}{1-p} = b - \sum_m \sum_{j=1}^2 w_{mj} \log\Bigl(1 + \frac{(x_m - k_{mj})^+}{s_m}\Bigr),
    \qquad w_{mj} \ge 0,$$

    with $x_m$ the figures of ``trainable_mechanisms``, $k_{mj}$ the best twentieth and the median of networks that
    trained, and $s_m$ their spread: a figure that gets worse never raises the score, and each further e-fold of its
    excess costs the same. Adam does not feel one scale for all gradients. What counts is how far they differ between
    weights, whether samples and their gradients still point in different directions, whether the signal still differs
    between samples, and how many layers stand in a row without a skip.

    Where the weights were drawn several times, the contributions are means over the draws.

    Of errors that are seldom overcome the probability is at most (k + 1)/(n + 2), by Laplace's rule, k of n networks
    having trained: 1 of 59 with a drift along the chain that the rules call an error, 24 of them labelled after all
    limits were set, and 0 of 5 with batch normalisation over two values, on batches like that. Other errors are left to
    the figures: a first step may mend a single layer. So it is for Adam where gradients of a loss are mostly below its
    ε of 1e-8, of which it takes next to no step: 0 of 87.

    Args:
        profile: What ``leadline.profile`` measured.
        findings: What the rules found in it.
        trainer: A key of ``TRAINERS``: ``"adam"``, or ``"sgd"``, which feels the scale of gradients.

    Returns:
        The score. 0 where the loss, a parameter or a weight's gradient is not finite, or every weight's gradient is 0;
        ``nan`` for a profile without gradients of weights. Weights without gradient are left out otherwise: behind a
        head that starts at zero they get one after the first step. On 1000 networks labelled after the fit the area
        under the ROC curve is .981 (the most extreme gradient norm alone: .907) and stated and seen frequencies differ
        by .02. The probability speaks of the small networks and the task of the rule; for others read it as a score.

    Source:
        leadline: fitted to networks that were trained, ``benchmarks/trainability.py``.

    Example:
        >>> import leadline, torch
        >>> from leadline._core.randomness import seeded
        >>> def net(depth):
        ...     layers = [m for _ in range(depth) for m in (torch.nn.Linear(32, 32), torch.nn.Tanh())]
        ...     return torch.nn.Sequential(*layers, torch.nn.Linear(32, 10))
        >>> x, y = torch.randn(64, 32, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 10
        >>> with seeded(0):
        ...     shallow, deep = net(4), net(60)
        >>> trainable(leadline.profile(shallow, x, y)).probability > 0.9
        True
        >>> trainable(leadline.profile(deep, x, y)).probability < 0.1
        True
    """
    chosen = TRAINERS[check_choice("trainer", trainer, TRAINERS)]
    norms = [norm for norm, _ in gradients(profile).values()]
    sequences = any("token_distinction" in layer.metrics for layer in profile.layers)
    rule = f"{chosen.rule}; {COMPARISON}" if sequences else chosen.rule
    if profile.nonfinite_parameters or math.isinf(profile.loss) or not all(map(math.isfinite, norms)):
        return Trainability(probability=0.0, rule=rule, evidence={"non-finite numbers": -math.inf})
    if not norms or not profile.layers:
        return Trainability(probability=math.nan, rule=rule, evidence={})
    if max(norms) == 0:
        return Trainability(probability=0.0, rule=rule, evidence={"no gradient": -math.inf})
    evidence = _mean([chosen.log_odds(measure(each)) for each in _drawn(profile)])
    for reason, most in most_log_odds(profile, findings, chosen):
        beyond = most - sum(evidence.values())
        if beyond < 0:
            evidence[reason] = beyond
    return Trainability(probability=logistic(sum(evidence.values())), rule=rule, evidence=evidence)


def _drawn(profile: Profile) -> list[Profile]:
    """The profile, and those of other draws of the weights in which some weight has a gradient."""
    others = profile.draws if profile.draws_over == "draws" else ()
    return [profile, *(each for each in others if any(norm > 0 for norm, _ in gradients(each).values()))]


def _mean(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: fmean(each[name] for each in parts) for name in parts[0]}


def most_log_odds(
    profile: Profile, findings: Sequence[Finding], trainer: Trainer = ADAM
) -> Iterator[tuple[str, float]]:
    """What the network has at most, each with its reason."""
    if profile.loss_kind != "cotangent" and gradient_size(profile) < log10(trainer.epsilon):
        yield f"gradients below {figure(trainer.epsilon)}", MOST_UNFELT
    for finding in findings:
        if finding.severity == "error" and "rate" in finding.evidence:
            yield f"{finding.code} found", MOST_WITH_DRIFT
        elif finding.severity == "error" and finding.code == "small-batch-norm":
            yield f"{finding.code} found", MOST_WITH_SMALL_BATCH_NORM


def logistic(odds: float) -> float:
    """Probability of log odds."""
    return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0
