"""Numbers that are not, or will soon not be: nan, infinity, and the ends of the dtype's range."""

import math
from collections.abc import Iterable, Iterator

from leadline._core.diagnosis import Finding
from leadline._core.profile import LayerProfile, Profile
from leadline._core.sources import Source
from leadline._core.wording import count, figure, portion
from leadline.doctor.layers import layer_of, module_of
from leadline.doctor.ranges import dtype_range
from leadline.doctor.registry import rule


@rule("nonfinite", source=Source(key="leadline"))
def nonfinite(profile: Profile, *, limit: float = 1.0) -> Iterator[Finding]:
    """The first place where a number is nan or infinite: a parameter, the input, an output, a gradient, the loss.

    One finding at the origin, since a single nan reaches every layer behind it and every gradient in front of it.
    ``limit`` is the share of finite entries below which a layer counts: 1, as one bad entry spoils every mean.
    """
    forward = _first(profile.layers, "finite_fraction", limit)
    backward = _first(reversed(profile.layers), "grad_finite_fraction", limit)
    if profile.nonfinite_parameters:
        parameter = profile.nonfinite_parameters[0]
        others = len(profile.nonfinite_parameters) - 1
        also = f" (and {others} more)" if others else ""
        evidence = {"parameters": list(profile.nonfinite_parameters), "module": module_of(parameter)}
        message = f"the parameter {parameter}{also} holds nan or infinity."
        yield _finding(layer_of(profile, parameter), message, evidence)
    elif profile.inputs is not None and profile.inputs.finite_fraction < limit:
        share = 1 - profile.inputs.finite_fraction
        yield _finding("", f"{_amount(share, 'the input')} nan or infinite.", {"share": share})
    elif forward or profile.first_nonfinite:
        yield _of_output(profile, forward)
    elif backward:
        share = 1 - backward.grad_finite_fraction
        message = f"{_amount(share, 'its gradient')} nan or infinite, while its output is finite."
        yield _finding(backward.name, message, {"share": share})
    elif profile.outputs is not None and not math.isfinite(profile.loss):
        yield _finding(
            profile.layers[-1].name, f"the loss is {profile.loss} of a finite output.", {"loss": profile.loss}
        )


def _first(layers: Iterable[LayerProfile], metric: str, limit: float) -> LayerProfile | None:
    return next((layer for layer in layers if getattr(layer, metric) < limit), None)


def _of_output(profile: Profile, layer: LayerProfile | None) -> Finding:
    module = profile.first_nonfinite or (layer.name if layer else "")
    name = layer_of(profile, module)
    share = 1 - layer.finite_fraction if layer else math.nan
    inside = f", first in {module}" if module != name else ""
    amount = _amount(share, "its output") if layer else "its output is"
    message = f"{amount} nan or infinite{inside}; every parameter is finite."
    return _finding(name, message, {"share": share, "module": module})


def _amount(share: float, whole: str) -> str:
    return f"{portion(share)} of {whole} is"


def _finding(layer: str, message: str, evidence: dict) -> Finding:
    text = f"{layer}: {message}" if layer else message[0].upper() + message[1:]
    return Finding(code="nonfinite", layer=layer, severity="error", message=text, evidence=evidence)


@rule("overflow-risk", source=Source(key="micikevicius2018", locator="section 3"))
def overflow_risk(profile: Profile, *, limit: float = 16.0, lost: float = 0.05) -> Iterator[Finding]:
    """The first output or gradient within a factor of ``limit`` of the dtype's largest number, and gradients below it.

    A factor of 16, four doublings, is what a sum over a few rows or some steps of training takes up. In float16
    gradients below 2⁻²⁴ become zero: a layer whose gradient has a root mean square under that loses most of it, hence
    the note on ``lost`` of the layers or more. Silent on layers that already hold infinities: those are ``nonfinite``.
    """
    for kind in ("max_abs", "grad_max_abs"):
        for layer in profile.layers:
            value, largest = getattr(layer, kind), dtype_range(layer.dtype).largest
            if largest / limit <= value < math.inf:
                what = "gradient" if kind.startswith("grad") else "output"
                yield Finding(
                    code="overflow-risk",
                    layer=layer.name,
                    severity="warning",
                    message=f"{layer.name}: its {what} reaches {figure(value)}, and {layer.dtype} ends at "
                    f"{figure(largest)}.",
                    evidence={kind: value, "largest": largest, "dtype": layer.dtype},
                )
                break
    yield from _underflow(profile, lost)


def _underflow(profile: Profile, lost: float) -> Iterator[Finding]:
    graded = [layer for layer in profile.layers if layer.dtype == "float16" and layer.grad_rms > 0]
    small = [layer for layer in graded if layer.grad_rms < dtype_range("float16").smallest]
    if small and len(small) >= lost * len(graded):
        worst = small[-1]
        yield Finding(
            code="overflow-risk",
            layer=worst.name,
            severity="note",
            message=f"{worst.name}: its gradient has a root mean square of {figure(worst.grad_rms)}, below float16's "
            f"smallest number of 6e−8, and so it is in {len(small)} of {count(len(graded), 'layer')}: scale the loss.",
            evidence={"grad_rms": worst.grad_rms, "layers": len(small), "dtype": "float16"},
        )
