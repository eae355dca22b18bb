"""The way out of each finding, most promising first: what fits the parts that the profile shows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from leadline._core.diagnosis import Finding, Remedy
from leadline._core.profile import Profile
from leadline.doctor.design import NORM_KINDS
from leadline.theory import TORCH_NAMES

# Activations whose slope goes to zero on both sides.
_SATURATING = frozenset({"tanh", "sigmoid", "hard_tanh", "hard_sigmoid", "softsign"})
# Activations with no slope on one side, whose units can die.
_MASKING = frozenset({"relu", "relu6"})


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a network is made of, as far as advice depends on it.

    Attributes:
        batch_norm: Whether its layers have batch normalisation, fractional or not: a quarter of them at least.
        norm: Likewise any normalisation.
        residual: Likewise a skip around them.
        tokens: Whether the positions of sequences were measured.
        saturating: Whether there are activations that saturate on both sides.
        masking: Whether there are activations that are zero on one side.
        float16: Whether some output is in float16.
    """

    batch_norm: bool
    norm: bool
    residual: bool
    tokens: bool
    saturating: bool
    masking: bool
    float16: bool

    @staticmethod
    def of(profile: Profile) -> "Parts":
        """The parts of all layers."""
        of_layers = [{layer.kind, *layer.parts} for layer in profile.layers]
        kinds = set[str]().union(*of_layers)
        activations = {TORCH_NAMES[kind] for kind in kinds if kind in TORCH_NAMES}
        return Parts(
            batch_norm=_usual(
                any(NORM_KINDS.get(kind) in ("batch", "fractional") for kind in own) for own in of_layers
            ),
            norm=_usual(any("Norm" in kind for kind in own) for own in of_layers),
            residual=_usual(layer.residual for layer in profile.layers),
            tokens=any("token_distinction" in layer.metrics for layer in profile.layers),
            saturating=bool(activations & _SATURATING),
            masking=bool(activations & _MASKING),
            float16=any(layer.dtype == "float16" for layer in profile.layers),
        )


def _usual(has: Iterable[bool]) -> bool:
    """Whether it is how the network is made, and no exception in it: so of a quarter of the layers, and of one."""
    told = list(has)
    return sum(told) >= max(len(told) / 4, 1)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A remedy, and when it is one.

    Attributes:
        remedy: What to do.
        fits: Whether it suits a network of these parts, and this finding.
    """

    remedy: Remedy
    fits: Callable[[Parts, Finding], bool]


def remedies_for(finding: Finding, parts: Parts) -> tuple[Remedy, ...]:
    """The remedies of the finding's code that suit a network of these parts."""
    return tuple(way.remedy for way in WAYS[finding.code] if way.fits(parts, finding))


def _way(text: str, fits: Callable[[Parts, Finding], bool] = lambda parts, finding: True) -> Way:
    return Way(remedy=Remedy(text=text), fits=fits)


def _drift(parts: Parts, finding: Finding) -> bool:
    return "rate" in finding.evidence or bool(finding.evidence.get("gradual")) or "weights" in finding.evidence


def _one_layer(parts: Parts, finding: Finding) -> bool:
    return not _drift(parts, finding) and "embedding" not in finding.evidence


def _drift_of_plain(parts: Parts, finding: Finding) -> bool:
    return _drift(parts, finding) and not parts.residual


def _drift_without_norm(parts: Parts, finding: Finding) -> bool:
    return _drift(parts, finding) and not parts.norm


def _without_norm(parts: Parts, finding: Finding) -> bool:
    return not parts.norm


_DRAW_ANEW = _way("Draw the weight of the layer named anew, as its like are drawn.", _one_layer)
_GAIN = _way(
    "Draw weights of variance gain²/fan_in with the gain of the activation (√2 for ReLU; torch's default has 1/√3).",
    lambda parts, finding: _drift_without_norm(parts, finding) and not parts.residual,
)

# Code of a finding -> what to do. No recipe is named that cannot be called.
WAYS: dict[str, tuple[Way, ...]] = {
    "nonfinite": (
        _way("Load or draw the parameter named anew.", lambda parts, finding: "parameters" in finding.evidence),
        _way(
            "Leave out the samples that hold nan, or fill them in.",
            lambda parts, finding: not finding.layer,
        ),
        _way(
            "Look at the layer named for a division by zero, a logarithm or a root of zero, or a mask that leaves a "
            "softmax nothing.",
            lambda parts, finding: "parameters" not in finding.evidence and bool(finding.layer),
        ),
        _way(
            "Where values overflow, cure the growth before that layer; bfloat16 has the range of float32.",
            lambda parts, finding: "parameters" not in finding.evidence and bool(finding.layer),
        ),
    ),
    "gradient-explosion": (
        _DRAW_ANEW,
        _way(
            "Draw orthogonal weights, and bring the activation nearer to the identity: √(1−η)·x + √η·φ⊥(x) with η of "
            "the order of 1/depth (leadline.shape).",
            lambda parts, finding: parts.batch_norm and _drift_of_plain(parts, finding),
        ),
        _GAIN,
        _way(
            "Scale each residual branch by 1/√depth, or start the branches at zero.",
            lambda parts, finding: parts.residual and _drift(parts, finding),
        ),
        _way("Add skips around every one or two layers, with branches scaled by 1/√depth.", _drift_of_plain),
        _way(
            "Normalise the input of each branch.",
            lambda parts, finding: parts.residual and _drift_without_norm(parts, finding),
        ),
        _way(
            "Clipping the gradient bounds the step; the early layers still get a multiple of the step of the late ones."
        ),
    ),
    "gradient-vanishing": (
        _DRAW_ANEW,
        _GAIN,
        _way(
            "Replace the activations that saturate (sigmoid, tanh far from 0) by ReLU, GELU or SiLU.",
            lambda parts, finding: parts.saturating,
        ),
        _way("Normalise in front of each activation.", _without_norm),
        _way("Add skips around every one or two layers.", lambda parts, finding: not parts.residual),
        _way("Scale each residual branch by 1/√depth.", lambda parts, finding: parts.residual),
        _way(
            "Put the norm on the branch and not on the stream, so that the skip stays open from end to end.",
            lambda parts, finding: parts.residual and parts.norm and _drift(parts, finding),
        ),
    ),
    "activation-growth": (
        _DRAW_ANEW,
        _way(
            "Draw the embedding with a standard deviation of 1 or less; 0.02 is usual.",
            lambda parts, finding: "embedding" in finding.evidence,
        ),
        _way(
            "Scale the residual branches by 1/√depth, or start their last weight or gain at zero.",
            lambda parts, finding: parts.residual and _drift(parts, finding),
        ),
        _GAIN,
        _way(
            "Normalise the input of each branch, and the stream once before the head.",
            lambda parts, finding: parts.residual and _drift_without_norm(parts, finding),
        ),
        _way(
            "Normalise in front of each activation.",
            lambda parts, finding: not parts.residual and _drift_without_norm(parts, finding),
        ),
        _way("Rescale layer by layer on a batch until each output has unit variance."),
    ),
    "activation-decay": (
        _DRAW_ANEW,
        _GAIN,
        _way("Rescale layer by layer on a batch until each output has unit variance."),
        _way("Normalise in front of each activation.", _without_norm),
    ),
    "rank-collapse": (
        _DRAW_ANEW,
        _way(
            "Draw weights of mean zero, of variance gain²/fan_in with the gain of the activation (√2 for ReLU).",
            lambda parts, finding: "weights" in finding.evidence,
        ),
        _way(
            "Put batch normalisation in front of each activation: it keeps samples apart at any depth.",
            lambda parts, finding: not parts.batch_norm and not parts.tokens,
        ),
        _way("Draw orthogonal weights.", _drift),
        _way("Add skips around every one or two layers.", _drift_of_plain),
        _way("Bring the activation nearer to the identity as the network gets deeper (leadline.shape).", _drift),
        _way("Scale the residual branches by 1/√depth.", lambda parts, finding: parts.residual),
    ),
    "aligned-gradients": (
        _way("Cure what makes the representations alike, or the output much larger than its target, first."),
        _way("Scale the last layer down, or normalise in front of it."),
    ),
    "dead-units": (
        _way("Start the biases in front of the activation at zero."),
        _way(
            "Use an activation with a slope everywhere (leaky ReLU, GELU, SiLU).",
            lambda parts, finding: parts.masking,
        ),
        _way("Normalise in front of the activation.", _without_norm),
        _way("Lower the learning rate, if the units died in training."),
    ),
    "saturation": (
        _way("Draw smaller weights, so that pre-activations stay near unit variance.", _without_norm),
        _way("Normalise in front of the activation.", _without_norm),
        _way(
            "Start the scale of the norm in front of the activation at 1 and its bias at 0.",
            lambda parts, finding: parts.norm,
        ),
        _way("Use an activation that does not saturate."),
    ),
    "constant-output": (
        _way("Draw the weight of the layer named anew: it is zero or lets nothing pass."),
        _way(
            "Make sure that the layer is meant to start at zero: only the end of a residual branch, a gate or a head "
            "is."
        ),
    ),
    "token-collapse": (
        _way(
            "Add the skip around attention: without it the positions become alike at a doubly exponential rate.",
            lambda parts, finding: not parts.residual,
        ),
        _way("Scale queries and keys so that attention is neither uniform nor on one position for all."),
        _way(
            "Let the norm read the input of each branch and leave the stream alone.",
            lambda parts, finding: parts.residual and parts.norm,
        ),
        _way("Normalise the input of each branch.", _without_norm),
    ),
    "degenerate-batch": (
        _way("Draw the batch without replacement from different samples, and leave out duplicates."),
        _way("Measure again: ranks, gaps and batch statistics of this batch speak of its different samples only."),
    ),
    "small-batch-norm": (
        _way("Use a larger batch, or synchronise the statistics across devices."),
        _way("Use layer, group or RMS normalisation, which do not depend on the batch."),
        _way("Freeze the statistics: put the layer in eval mode once its running statistics are good."),
    ),
    "unused-layer": (
        _way("Remove the module, or call it in forward and let its output reach the loss."),
        _way("Look for a detach, a no_grad or an in-place overwrite between the module and the loss."),
    ),
    "hard-to-train": (
        _way("Draw weights of mean zero and variance gain²/fan_in with the gain of the activation (√2 for ReLU)."),
        _way("Add skips around every one or two layers.", lambda parts, finding: not parts.residual),
        _way("Normalise in front of each activation.", _without_norm),
        _way("Train it for some steps at a few rates: a score is no proof."),
    ),
    "overflow-risk": (
        _way(
            "Compute in bfloat16 or float32: float16 ends at 65504.",
            lambda parts, finding: parts.float16,
        ),
        _way(
            "Keep the layer named in float32, and scale the loss so that gradients stay in range.",
            lambda parts, finding: parts.float16,
        ),
        _way("Normalise in front of the layer, or scale its weights down."),
        _way("Cure the growth in front of the layer.", lambda parts, finding: not parts.float16),
    ),
}
