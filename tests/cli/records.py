"""Records for the tests of the terminal, written by hand: no model is needed to show them."""

from collections.abc import Sequence

from leadline._core.diagnosis import DepthLimit, Diagnosis, Finding, Remedy
from leadline._core.profile import LayerProfile, Profile
from leadline._core.sources import Source


def layer(depth: int, **fields) -> LayerProfile:
    metrics = {"rms": 0.5, "participation_ratio": 12.3, "distinction": 0.7, "grad_norm": 1e-3, "dead_fraction": 0.25}
    return LayerProfile(**{"name": f"fc.{depth}", "kind": "Linear", "depth": depth, "metrics": metrics, **fields})


def finding(layer: str = "fc.3", severity: str = "error", **fields) -> Finding:
    return Finding(
        **{
            "code": "gradient-vanishing",
            "layer": layer,
            "severity": severity,
            "message": f"Gradients shrink 1.70-fold per layer from {layer} towards the input.",
            "expected": "Theory expects a factor of 1.73 per layer for PyTorch's default initialisation before ReLU.",
            "remedies": (
                Remedy(text="Use He initialisation."),
                Remedy(text="Put batch norm before ReLU."),
            ),
            "source": Source(key="he2015", locator="section 2.2"),
            **fields,
        }
    )


def diagnosis(layers: Sequence[LayerProfile] | int = 6, findings: Sequence[Finding] = (), **fields) -> Diagnosis:
    layers = [layer(i) for i in range(layers)] if isinstance(layers, int) else layers
    limit = DepthLimit(estimate=34.2, low=28.0, high=41.7, mechanism="gradients leave float32")
    profile = Profile(layers=tuple(layers), model="MLP", batch=64)
    return Diagnosis(
        **{"profile": profile, "findings": tuple(findings), "trainable": 0.03, "depth_limit": limit, **fields}
    )
