"""What people look at before they train: scores of a network at initialisation, greater for one more likely to train.

Each is a function of the labelled network or of its profile, with its formula and source. ``None`` means that a theory
does not speak of the network; a score that is not finite counts as the worst.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from trainability import BASELINES

from leadline import LayerProfile, Profile
from leadline.theory import (
    batch_norm_gradient_rate,
    depth_scale,
    layer_norm_rates,
    moments,
    plain_rates,
    residual_rates,
)
from leadline.theory.mean_field import fixed_point

STEPS, RATES = 10, (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class Network:
    """A labelled network: every ``model`` is a fresh one with the same weights."""

    config: dict[str, Any]
    zoo: ModuleType

    @property
    def model(self) -> nn.Module:
        return self.zoo.build(self.config)

    def batch(self, size: int = 64) -> tuple[Tensor, Tensor]:
        return self.zoo.batch(self.config, size)


# Scores of a profile.


def fixed_thresholds(profile: Profile) -> float:
    """−#(layers with ‖∂L/∂W‖ < 1e-6 or > 1e2 or not finite) − #(layers with > 50 % zeros): torchdiag's kind of rule."""
    norms = [layer.weight_grad_norm for layer in profile.layers if layer.trained]
    unusual = sum(not 1e-6 <= norm <= 1e2 for norm in norms)
    return -float(unusual + sum(layer.dead_fraction > 0.5 for layer in profile.layers))


SUMMARISED: tuple[tuple[str, bool], ...] = (
    ("rms", True),
    ("distinction", True),
    ("grad_norm", True),
    ("weight_grad_norm", True),
    ("participation_ratio", False),
    ("grad_participation_ratio", False),
    ("isometry_gap", False),
    ("dead_fraction", False),
)


def figures(profile: Profile) -> list[float]:
    """24 figures: least, greatest and last over the layers of 8 metrics, scales by their decimal logarithm."""
    return [x for metric, log in SUMMARISED for x in _summary(profile.layers, metric, log)]


def _summary(layers: Iterable[LayerProfile], metric: str, log: bool) -> tuple[float, float, float]:
    known = [x for x in (getattr(layer, metric) for layer in layers) if not math.isnan(x)] or [-99.0]
    values = [math.log10(max(x, 1e-38)) if log and x < math.inf else x for x in known]
    clipped = [min(max(x, -99.0), 99.0) for x in values]
    return min(clipped), max(clipped), clipped[-1]


# Scores of a pass or two.


def debugger_rules(network: Network) -> float:
    """−#(rules that fire), Amazon SageMaker Debugger's defaults.

    Per weight, mean |g| < 1e-7; per tensor, nan or inf, or all zero; per ReLU layer, > 50 % of its units never active;
    once each for weights, gradients and activations, largest over smallest variance of a layer > 10.
    """
    outputs: list[tuple[nn.Module, Tensor]] = []
    model = network.model
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, _, output: outputs.append((module, output.detach())))
    weights = _weights(model)
    gradients = _gradients(model, weights, network.batch())
    weights = [weight.detach() for weight in weights]
    relus = [output for module, output in outputs if isinstance(module, nn.ReLU)]
    activations = [output for _, output in outputs]
    tensors = [*weights, *gradients, *activations]
    fired = sum(float(g.abs().mean()) < 1e-7 for g in gradients)
    fired += sum(not bool(t.isfinite().all()) or not bool(t.any()) for t in tensors)
    fired += sum(float((output <= 0).all(0).float().mean()) > 0.5 for output in relus)
    return -float(fired + sum(not _variances_agree(each) for each in (weights, gradients, activations)))


def _variances_agree(tensors: list[Tensor]) -> bool:
    variances = [float(t.double().var()) for t in tensors]
    return max(variances) <= 10 * min(variances)


def gradient_norm(network: Network) -> float:
    """Log Σ_W ‖∂L/∂W‖: Abdelfattah et al. 2021 (arXiv:2101.08134)."""
    model = network.model
    return _log(sum(float(g.double().norm()) for g in _gradients(model, _weights(model), network.batch())))


def snip(network: Network) -> float:
    """Log Σ |θ·∂L/∂θ|: Lee et al. 2019 (arXiv:1810.02340)."""
    model = network.model
    weights = _weights(model)
    gradients = _gradients(model, weights, network.batch())
    return _log(sum(float((w.detach().double() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True)))


def grasp(network: Network) -> float:
    """−θᵀHg as sign(x)·log(1 + |x|), which keeps the order: Wang et al. 2020 (arXiv:2002.07376)."""
    model = network.model
    weights = _weights(model)
    products = _curvature(weights, _gradients(model, weights, network.batch(), graph=True))
    value = -sum(float((w.detach().double() * p).sum()) for w, p in zip(weights, products, strict=True))
    return math.copysign(math.log1p(abs(value)), value)


def gradient_quotient(network: Network) -> float:
    """−log GQ, GQ = mean |(g − Hg)/(g ± 1e-5) − 1|: MetaInit, Dauphin & Schoenholz 2019."""
    model = network.model
    weights = _weights(model)
    gradients = _gradients(model, weights, network.batch(), graph=True)
    products = _curvature(weights, gradients)
    quotient = sum(
        float(((g - p) / (g + 1e-5 * (2 * (g >= 0) - 1)) - 1).abs().sum().detach())
        for g, p in zip(gradients, products, strict=True)
    )
    return -_log(quotient / sum(w.numel() for w in weights))


def one_step_loss(network: Network) -> float:
    """−log L(θ − 1e-3·sign g; another batch), the step that Adam begins with: GradInit, Zhu et al. 2021."""
    model = network.model
    x, y = network.batch(128)
    parameters = list(model.parameters())
    gradients = _gradients(model, parameters, (x[:64], y[:64]))
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= 1e-3 * gradient.sign()
        return -_log(float(F.cross_entropy(model(x[64:]), y[64:])))


def synflow(network: Network) -> float:
    """Log Σ |θ|·∂R/∂|θ|, R = 1ᵀf(1) with weights |θ|, in double, norms at rest: Tanaka et al. 2020."""
    model = network.model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    weights = _weights(model)
    flow = model(torch.ones_like(network.batch(1)[0], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(flow, weights)
    return _log(sum(float((w.detach() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True)))


def naswot(network: Network) -> float:
    """Log det K, K_ij = units on whose sign samples i and j agree: Mellor et al. 2021 (arXiv:2006.04647)."""
    codes: list[Tensor] = []
    model = network.model
    for name, module in model.named_modules():
        if name.endswith("activation"):
            module.register_forward_pre_hook(lambda _, inputs: codes.append((inputs[0] > 0).flatten(1).double()))
    with torch.no_grad():
        model(network.batch()[0])
    code = torch.cat(codes, 1)
    return float(torch.linalg.slogdet(code @ code.T + (1 - code) @ (1 - code).T)[1])


def ntk_condition(network: Network) -> float:
    """−log(λ_max/λ_min) of the Gram matrix of ∂(1ᵀf(x_i))/∂θ, in double: TE-NAS, Chen et al. 2021."""
    model = network.model.double()
    weights = _weights(model)
    outputs = model(network.batch()[0].double()).sum(1)
    directions = torch.eye(len(outputs), dtype=outputs.dtype)
    rows = torch.autograd.grad(outputs, weights, directions, is_grads_batched=True)
    gram = torch.stack([row.flatten(1) @ row.flatten(1).T for row in rows]).sum(0)
    if not bool(gram.isfinite().all()):
        return -math.inf
    eigenvalues = torch.linalg.eigvalsh(gram)
    return _log(float(eigenvalues[0])) - _log(float(eigenvalues[-1]))


def ten_steps(network: Network) -> float:
    """−log min over rates 1e-2, 1e-3, 1e-4 of the mean loss of the last 3 of 10 Adam steps of the real training."""
    return -_log(min((_ten_losses(network, rate) for rate in RATES), key=lambda x: math.inf if math.isnan(x) else x))


def _ten_losses(network: Network, rate: float) -> float:
    model, losses = network.model, []
    x, y = network.zoo.digits()
    order = torch.Generator().manual_seed(network.config["seed"] + 1)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    for _ in range(STEPS):
        i = torch.randint(len(x), (network.zoo.BATCH,), generator=order)
        loss = F.cross_entropy(model(x[i]), y[i])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return sum(losses[-3:]) / 3


def _weights(model: nn.Module) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.ndim > 1]


def _gradients(
    model: nn.Module, parameters: list[Any], batch: tuple[Tensor, Tensor], graph: bool = False
) -> list[Tensor]:
    loss = F.cross_entropy(model(batch[0]), batch[1])
    return list(torch.autograd.grad(loss, parameters, create_graph=graph))


def _curvature(weights: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
    """Hg, the gradient of ½‖g‖²."""
    return list(torch.autograd.grad([g.square().sum() / 2 for g in gradients], weights))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf if value == 0 else math.nan


# Scores of theory, from the config alone.


def mean_field_depth(network: Network) -> float | None:
    """−depth/(6ξ), ξ = 1/|log χ|: Schoenholz et al. 2017 (arXiv:1611.01232), section 5; see ``_log_chi``."""
    chi = _log_chi(network.config)
    return None if chi is None else -network.config["depth"] * abs(chi) / 6


def _log_chi(config: dict[str, Any]) -> float | None:
    """±1/ξ of a layer: of correlations without norm and skip, else of gradients.

    Without a fixed point it is the gradients' where lengths go to; with skips but no norm, that at variance 1. Skips
    around normalised branches lose by a power of depth: 0. Weights that are all positive: no answer.
    """
    weight, bias = _stds(config)
    if weight is None:
        return None
    phi, norm = config["activation"], config["norm"]
    if config["skip"]:
        plain = norm == "none"
        return 2 * residual_rates(phi, 1.0, weight_std=weight, bias_std=bias).gradient if plain else 0.0
    if norm == "batch":
        return 2 * batch_norm_gradient_rate(phi)
    if norm != "none":
        return 2 * layer_norm_rates(phi).gradient
    q = fixed_point(phi, weight_std=weight, bias_std=bias)
    if 0 < q < math.inf:
        return 1 / depth_scale(phi, weight_std=weight, bias_std=bias)
    return 2 * plain_rates(phi, min(max(q, 1e-12), 1e12), weight_std=weight).gradient


def kernel_slope(network: Network) -> float | None:
    """−|log C'(1)|, C the correlation of two samples through all layers: DKS, Martens et al. 2021 (arXiv:2110.01765).

    A layer's slope is (s²q + vE φ'²)/(s²q + E φ²) with q the variance of the stream and v that of the
    pre-activation that comes from it; batch norm takes the mean off φ. Weights that are all positive: no answer.
    """
    config = network.config
    weight, bias = _stds(config)
    if weight is None:
        return None
    q, total = 1.0, 0.0
    for _ in range(config["depth"]):
        v, b = (weight**2 * q, bias**2) if config["norm"] == "none" else (1.0, 0.0)
        found = moments(config["activation"], std=math.sqrt(v + b))
        kept = config["skip"] ** 2 * q
        length = kept + (found.variance if config["norm"] == "batch" else found.second)
        total += math.log((kept + v * found.slope_second) / length)
        q = min(max(length, 1e-24), 1e24)
    return -abs(total)


def _stds(config: dict[str, Any]) -> tuple[float | None, float]:
    """σ_w and σ_b of a block: torch's default bias, and the initialisation's variance times fan_in."""
    fan_in = config["width"] * (9 if config["family"] == "conv" else 1)
    gain = config["gain"]
    stds = {"default": 3**-0.5, "kaiming": gain * 2**0.5, "xavier": gain, "orthogonal": gain, "gaussian": gain}
    return stds.get(config["init"]), (3 * fan_in) ** -0.5


@dataclass(frozen=True)
class Rival:
    """A score with its name; ``sided`` where both extremes may be bad, so that the middle may be the better choice."""

    name: str
    measure: Callable[[Network], float | None]
    sided: bool = True


PROFILE_RIVALS: dict[str, Callable[[Profile], float]] = {
    "max |log10 weight gradient|": BASELINES["max |log10 weight gradient| of a layer"],
    "spread of log10 weight gradient": BASELINES["spread of log10 weight gradient"],
    "fixed thresholds (torchdiag)": fixed_thresholds,
}
RIVALS = (
    Rival("rules (SageMaker Debugger)", debugger_rules, sided=False),
    Rival("10 Adam steps at 3 rates", ten_steps, sided=False),
    Rival("gradient quotient (MetaInit)", gradient_quotient),
    Rival("one-step loss (GradInit)", one_step_loss),
    Rival("gradient norm", gradient_norm),
    Rival("synflow", synflow),
    Rival("SNIP", snip),
    Rival("GraSP", grasp),
    Rival("NASWOT", naswot),
    Rival("NTK condition (TE-NAS)", ntk_condition),
    Rival("depth over 6ξ (mean field)", mean_field_depth, sided=False),
    Rival("C'(1) of the network (DKS)", kernel_slope, sided=False),
)
