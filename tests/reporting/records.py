"""Records with round numbers: what a page shows of them can be said beforehand."""

import math

from leadline._core.diagnosis import DepthLimit, Diagnosis, Finding, Prediction, Remedy
from leadline._core.profile import LayerProfile, Profile
from leadline._core.rates import Rate
from leadline._core.sources import Source

EVIL = "</script><script>alert(1)</script><b title=\"x\" onclick='y'>&amp;{{ 7 * 7 }}%{x}"


def layer(depth: int, *, name: str | None = None, kind: str = "Linear", role: str = "leaf", **metrics: float):
    return LayerProfile(
        name=f"layers.{depth}" if name is None else name, kind=kind, depth=depth, role=role, metrics=metrics
    )


def vanishing(depth: int = 4) -> Profile:
    """Every linear map halves the signal and shrinks the gradient tenfold towards the input."""
    layers = [
        layer(k, rms=0.5**k, grad_norm=10.0 ** (k - depth + 1), weight_grad_norm=0.25, isometry_gap=float(k))
        for k in range(depth)
    ]
    return Profile(layers=tuple(layers), model="Net", batch=32, loss=2.3, loss_kind="cross_entropy", seed=7)


def explained(profile: Profile | None = None) -> Diagnosis:
    profile = profile or vanishing()
    return Diagnosis(
        profile=profile,
        trainable=0.03,
        trainable_rule="Adam, 300 steps on digits, accuracy above 0.9",
        trainable_evidence={"gradient-vanishing": -3.5},
        depth_limit=DepthLimit(estimate=12.0, low=9.0, high=17.0, mechanism="the gradient leaves float32"),
        rates={"grad_norm": Rate(estimate=1.0, low=0.9, high=1.1, increments=3)},
        predictions=(
            Prediction(metric="grad_norm", rate=0.5, statement="It gains 0.5 decades.", source=Source(key="he2015")),
        ),
        findings=(
            Finding(
                code="gradient-vanishing",
                layer="layers.2",
                severity="error",
                message="Gradients shrink tenfold per layer.",
                evidence={"decades_per_layer": -1.0, "limit": math.inf},
                expected="Theory gives 0.5 decades.",
                remedies=(Remedy(text="Initialise for ReLU.", recipe="he"), Remedy(text="Normalise.")),
                source=Source(key="he2015", locator="eq. 10"),
            ),
            Finding(code="degenerate-batch", layer="", severity="warning", message="Two samples are the same."),
        ),
    )
