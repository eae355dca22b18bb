"""From a profile to its diagnosis: the rules, their causes, the rates, what theory says, and two scores."""

from dataclasses import replace

from leadline._core.diagnosis import Diagnosis, Finding, Prediction
from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline._core.rates import Rate
from leadline.doctor.depth import depth_limit
from leadline.doctor.expectations import predict
from leadline.doctor.folding import fold
from leadline.doctor.ranges import floor_of
from leadline.doctor.registry import known_rules
from leadline.doctor.trainable import trainable

# Metrics whose rates along the chain are worth a line.
RATES = ("rms", "grad_norm", "weight_grad_norm", "distinction", "participation_ratio", "token_distinction")


def diagnose(profile: Profile, *, trainer: str = "adam") -> Diagnosis:
    """What a profile means: findings with their causes, a score, a depth limit, and theory beside measurement.

    Args:
        profile: What ``leadline.profile`` measured.
        trainer: Whose training the probability and the depth limit speak of: ``"adam"`` or ``"sgd"``.

    Returns:
        The diagnosis. A profile without layers gives no findings, and ``nan`` where there is nothing to rest on.

    Raises:
        UsageError: If it is given anything but a profile, or there is no such trainer.

    Example:
        >>> import leadline, torch
        >>> from leadline._core.randomness import seeded
        >>> with seeded(0):
        ...     net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        ...     x = torch.randn(16, 8)
        >>> x[0, 0] = float("nan")
        >>> [finding.code for finding in leadline.diagnose(leadline.profile(net, x)).findings]
        ['nonfinite']
    """
    if not isinstance(profile, Profile):
        raise UsageError(
            f"diagnose explains a Profile, what leadline.profile(model, inputs) returns; got {type(profile).__name__}."
        )
    predictions = predict(profile)
    found = [_with_theory(finding, predictions) for rule in known_rules() for finding in rule(profile)]
    findings = fold(profile, found)
    score = trainable(profile, findings, trainer=trainer)
    return Diagnosis(
        profile=profile,
        findings=findings,
        trainable=score.probability,
        trainable_rule=score.rule,
        trainable_evidence=score.evidence,
        depth_limit=depth_limit(profile, predictions, trainer=trainer),
        rates={metric: found for metric in RATES if (found := _rate(profile, metric)).increments},
        predictions=predictions,
    )


def _rate(profile: Profile, metric: str) -> Rate:
    return profile.rate(metric, floor=floor_of(metric, profile.chain))


def _with_theory(finding: Finding, predictions: tuple[Prediction, ...]) -> Finding:
    """The finding with what theory says of the metric whose drift it reports."""
    if "rate" not in finding.evidence:
        return finding
    for prediction in predictions:
        if prediction.metric == finding.evidence.get("metric"):
            message = f"{finding.message} Theory: {prediction.statement}"
            evidence = {**finding.evidence, "expected_rate": prediction.rate}
            return replace(finding, message=message, expected=prediction.statement, evidence=evidence)
    return finding
