"""The way out of each finding, most promising first."""

from leadline._core.diagnosis import Remedy


def _remedies(*texts: str) -> tuple[Remedy, ...]:
    return tuple(Remedy(text=text) for text in texts)


# Code of a finding -> what to do. No recipe is named that cannot be called.
REMEDIES = {
    "nonfinite": _remedies(
        "Load or draw the parameter that holds nan or inf anew.",
        "Where no parameter does, look at the input for nan, and at the layer named for a division by zero, a "
        "logarithm or a root of zero, or a mask that leaves a softmax nothing.",
        "Where values overflow, cure the growth before that layer; bfloat16 has the range of float32.",
    ),
    "gradient-explosion": _remedies(
        "Behind batch normalisation draw orthogonal weights and bring the activation nearer to the identity: "
        "√(1−η)·x + √η·φ⊥(x) with η of the order of 1/depth.",
        "Without normalisation draw weights of variance gain²/fan_in with the gain of the activation (√2 for ReLU).",
        "Add skips and scale each residual branch by 1/√depth, or start the branches at zero.",
        "Clipping the gradient bounds the step; the early layers still get a multiple of the step of the late ones.",
    ),
    "gradient-vanishing": _remedies(
        "Draw weights of variance gain²/fan_in with the activation's gain (√2 for ReLU; torch's default has 1/√3).",
        "Replace saturating activations (sigmoid, tanh far from 0) by ReLU, GELU or SiLU.",
        "Normalise in front of each activation, or add skips around every one or two layers.",
    ),
    "activation-growth": _remedies(
        "Scale the residual branches by 1/√depth, or start their last weight or gain at zero.",
        "Draw weights of variance gain²/fan_in with the gain of the activation; draw a weight that stands apart anew.",
        "Normalise the input of each branch, and the stream once before the head.",
    ),
    "activation-decay": _remedies(
        "Draw weights of variance gain²/fan_in with the activation's gain (√2 for ReLU; torch's default has 1/√3).",
        "Rescale layer by layer on a batch until each output has unit variance.",
        "Normalise in front of each activation.",
    ),
    "rank-collapse": _remedies(
        "Put batch normalisation in front of each activation: it keeps samples apart at any depth.",
        "Draw orthogonal weights; draw a weight of low rank anew.",
        "Add skips, or bring the activation nearer to the identity as the network gets deeper.",
    ),
    "aligned-gradients": _remedies(
        "Cure what makes the representations alike, or the output much larger than its target, first.",
        "Scale the last layer down, or normalise in front of it.",
    ),
    "dead-units": _remedies(
        "Start the biases in front of the activation at zero.",
        "Use an activation with a slope everywhere (leaky ReLU, GELU, SiLU), or normalise in front of it.",
        "Lower the learning rate, if the units died in training.",
    ),
    "saturation": _remedies(
        "Draw smaller weights, so that pre-activations stay near unit variance.",
        "Normalise in front of the activation, or use one that does not saturate.",
    ),
    "constant-output": _remedies(
        "Draw the weight of the layer named anew: it is zero or lets nothing pass.",
        "Make sure that the layer is meant to start at zero: only the end of a residual branch, a gate or a head is.",
    ),
    "token-collapse": _remedies(
        "Keep the skip around attention: without it the positions become alike at a doubly exponential rate.",
        "Scale queries and keys so that attention is neither uniform nor on one position for all.",
        "Normalise the input of each branch.",
    ),
    "degenerate-batch": _remedies(
        "Draw the batch without replacement from different samples, and leave out duplicates.",
        "Measure again: ranks, gaps and batch statistics of this batch speak of its different samples only.",
    ),
    "small-batch-norm": _remedies(
        "Use a larger batch, or synchronise the statistics across devices.",
        "Use layer, group or RMS normalisation, which do not depend on the batch.",
        "Freeze the statistics: put the layer in eval mode once its running statistics are good.",
    ),
    "unused-layer": _remedies(
        "Remove the module, or call it in forward and let its output reach the loss.",
        "Look for a detach, a no_grad or an in-place overwrite between the module and the loss.",
    ),
    "overflow-risk": _remedies(
        "Compute in bfloat16 or float32: float16 ends at 65504.",
        "Keep the layer named in float32, and scale the loss so that gradients stay in range.",
        "Normalise in front of the layer, or scale its weights down.",
    ),
}
