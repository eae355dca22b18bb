"""What theory expects of the recognised design: the rates of signal, gradient and distinction along its chain."""

import math
from collections.abc import Iterator
from itertools import pairwise
from statistics import fmean

from leadline._core.diagnosis import Prediction
from leadline._core.profile import Profile
from leadline._core.sources import Source
from leadline._core.wording import figure
from leadline.doctor.design import NORM_KINDS, Design, recognise
from leadline.doctor.layers import module_of
from leadline.theory import (
    TORCH_NAMES,
    LayerRates,
    batch_norm_gradient_rate,
    gain,
    layer_norm_rates,
    log_norm_drift,
    plain_rates,
)

# Activations that a factor in front only multiplies: scale, and the order of norm and activation, do not matter.
HOMOGENEOUS = frozenset({"identity", "relu", "leaky_relu"})
# Values per channel beyond which the law of the finite batch and its limit agree to a percent.
_MANY = 1024
_NATS = math.log(10)


def predict(profile: Profile) -> tuple[Prediction, ...]:
    """Rates along the chain that theory gives for its design; empty where the design is not one it speaks of.

    Every rate is in decades per link of the chain, in order of execution.
    """
    design = recognise(profile)
    if design is None:
        return ()
    if design.residual:
        return tuple(_residual(profile, design))
    if not design.alternates:
        return ()
    if design.norm == "none":
        return tuple(_plain(profile, design))
    if design.norm == "batch":
        return tuple(_batch_norm(profile, design))
    if design.norm == "fractional":
        return tuple(_fractional(profile, design))
    return tuple(_layer_norm(profile, design))


def _plain(profile: Profile, design: Design) -> Iterator[Prediction]:
    stds = [std for std in design.weight_std if std > 0]
    steps = _steps(profile, design)
    if not stds or not steps:
        return
    sigma = math.exp(fmean(math.log(std) for std in stds))
    kept = gain(design.activation)
    about = f"{design} with weights of gain {figure(sigma)} (the gain that keeps the signal is {figure(kept)})"
    a_link = design.maps / _NATS
    signal, gradient = fmean(s.signal for s in steps) * a_link, fmean(s.gradient for s in steps) * a_link
    if not (math.isfinite(signal) and math.isfinite(gradient)):
        return
    slope = 2 * (gradient - signal)
    if design.activation == "identity" and design.width and not design.orthogonal:
        drift = log_norm_drift(design.width) * a_link
        signal, gradient = signal + drift, gradient + drift
    yield Prediction(
        metric="rms",
        rate=signal,
        statement=f"{about}: activations change by {_decades(signal, profile)}.",
        source=Source(key="poole2016", locator="eq. 3"),
    )
    yield Prediction(
        metric="grad_norm",
        rate=-gradient,
        statement=f"{about}: gradients change by {_decades(gradient, profile)} towards the input.",
        source=Source(key="schoenholz2017", locator="eq. 15"),
    )
    if slope < -0.01 or design.activation == "identity":
        yield Prediction(
            metric="distinction",
            rate=slope,
            statement=f"{about}: what tells samples apart changes by {_decades(slope, profile)}.",
            source=Source(key="schoenholz2017", locator="eq. 5"),
        )


def _decades(rate: float, profile: Profile) -> str:
    """A rate in words; what rounding leaves of 0 is 0."""
    return f"{figure(round(rate, 6), signed=True)} decades a {profile.unit}"


def _steps(profile: Profile, design: Design) -> list[LayerRates]:
    """Rates of each linear map of the chain, from the first pre-activation that can be told on.

    Ends where the variance leaves what floats hold: then the maps in front tell the rate.
    """
    q, stds, steps = profile.chain[0].rms ** 2, design.weight_std[1:], []
    if not design.pre_activation:
        q, stds = stds[0] ** 2 * q + design.bias_std**2, stds[1:]
    for std in (std for std in stds for _ in range(design.maps)):
        if not (1e-200 < q < 1e200 and std > 0):
            break
        steps.append(plain_rates(design.activation, q, weight_std=std, bias_std=design.bias_std))
        q *= math.exp(2 * steps[-1].signal)
    return steps


def _batch_norm(profile: Profile, design: Design) -> Iterator[Prediction]:
    if profile.mode != "train" or (design.order == "act_norm" and design.activation not in HOMOGENEOUS):
        return
    limit = batch_norm_gradient_rate(design.activation)
    finite = 4 <= design.values <= _MANY and design.width >= 3
    width = design.width if design.orthogonal else None
    rate = batch_norm_gradient_rate(design.activation, n=design.values, d=width) if finite else limit
    law = "½·log(π/(π−1)) = " if design.activation == "relu" else ""
    here = f", {figure(rate)} with {design.values} values a channel" if finite else ""
    a_link = f" ({design.maps} times that a block)" if design.maps > 1 else ""
    yield Prediction(
        metric="grad_norm",
        rate=-design.maps * rate / _NATS,
        statement=f"{design}: the log gradient norm grows by {law}{limit:.4g} nats a layer towards the input in "
        f"the limit of large batches{here}; {figure(rate / _NATS)} decades a layer{a_link}.",
        source=Source(key="yang2019", locator="theorem 3.9"),
    )
    for metric, what in (("rms", "the scale of activations anew"), ("distinction", "samples apart again")):
        yield Prediction(
            metric=metric,
            rate=0.0,
            statement=f"{design}: batch normalisation sets {what} in every layer.",
            source=Source(key="yang2019", locator="section 3"),
        )


def _fractional(profile: Profile, design: Design) -> Iterator[Prediction]:
    """Of the gradient no law is known: behind a ReLU it grows by half of what it does behind batch normalisation."""
    if profile.mode == "train" and (design.order == "norm_act" or design.activation in HOMOGENEOUS):
        yield Prediction(
            metric="rms",
            rate=0.0,
            statement=f"{design}: fractional batch normalisation sets the scale of the layer anew.",
            source=Source(key="leadline"),
        )


def _layer_norm(profile: Profile, design: Design) -> Iterator[Prediction]:
    stds = [std for std in design.weight_std if std > 0]
    if not stds:
        return
    sigma = math.exp(fmean(math.log(std) for std in stds))
    centred = design.norm == "layer"
    rate = layer_norm_rates(design.activation, order=design.order, weight_std=sigma, centred=centred).gradient
    yield Prediction(
        metric="grad_norm",
        rate=-design.maps * rate / _NATS,
        statement=f"{design}: gradients change by {_decades(design.maps * rate / _NATS, profile)} towards the input.",
        source=Source(key="leadline"),
    )


def _residual(profile: Profile, design: Design) -> Iterator[Prediction]:
    """Independent variances add: a branch of λ times the stream's variance lengthens the stream by ½·log(1 + λ)."""
    if _normalised_sum(profile, design):
        return
    chain = profile.chain
    shares = [
        (layer.branch_rms / layer.stream_rms) ** 2
        for before, layer in pairwise(chain)
        if layer.shape == before.shape and layer.stream_rms > 0 and layer.branch_rms >= 0
    ]
    # Where the shape of the stream changes, what becomes of its size is not for the branch to say.
    if len(shares) < max(2, 0.9 * (len(chain) - 1)):
        return
    rate = fmean(0.5 * math.log10(1 + share) for share in shares)
    less = ", less what the activation behind the sum takes" if design.parts[-1] in TORCH_NAMES else ""
    about = f"{design} whose branch has on average {figure(fmean(shares))} times the variance of the stream"
    yield Prediction(
        metric="rms",
        rate=rate,
        statement=f"{about}: the stream grows by {figure(rate)} decades a {profile.unit}{less}.",
        source=Source(key="zhang2019", locator="section 2"),
    )
    if rate == 0 or (design.norm == "none" and design.activation in HOMOGENEOUS):
        yield Prediction(
            metric="grad_norm",
            rate=-rate,
            statement=f"{about}: gradients grow by {figure(rate)} decades a {profile.unit} towards the input{less}.",
            source=Source(key="zhang2019", locator="section 2"),
        )


def _normalised_sum(profile: Profile, design: Design) -> bool:
    """Whether a norm stands behind the sum: the link ends in one, and what its last branch adds is a linear map's."""
    maps = {module_of(weight) for weight in profile.weight_shapes}
    last = next((layer.branches[-1] for layer in reversed(profile.chain) if layer.branches), "")
    return design.parts[-1] in NORM_KINDS and last in maps
