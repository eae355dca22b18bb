"""Activations shaped for a depth: any of them in closed form, the gain schedule, and tailored leaky ReLUs."""

from leadline.nn.shaping.families import (
    GainedActivation as GainedActivation,
    TailoredLeakyReLU as TailoredLeakyReLU,
    gain_schedule as gain_schedule,
    tailored_leaky_relu as tailored_leaky_relu,
)
from leadline.nn.shaping.shaped import ShapedActivation as ShapedActivation, shape as shape
from leadline.nn.shaping.split import Split as Split, split as split
