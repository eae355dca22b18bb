"""What the predictions for a design of 1000 layers cost: all that theory says of it, from nothing."""

import math

from timing import show, side_by_side

from leadline import theory

LAYERS = 1000
PHI, WIDTH, BATCH = "gelu", 256, 64


def lengths() -> None:
    q = 1.0
    for _ in range(LAYERS):
        q = theory.q_map(PHI, q, weight_std=1.5, bias_std=0.1)


def correlations() -> None:
    layer = theory.correlation_map(PHI, weight_std=theory.gain(PHI))
    layer.path(0.3, layers=LAYERS)
    layer.depth_scale()


def batch_norm() -> None:
    rate = theory.batch_norm_gradient_rate(PHI, n=BATCH, d=WIDTH)
    theory.depth_limit(gradient=rate)
    theory.batch_norm_rank(n=BATCH, d=WIDTH)
    theory.batch_norm_soft_rank(n=BATCH, d=WIDTH)
    theory.batch_norm_fixed_point(PHI, n=BATCH)


def isometry() -> None:
    gap = theory.spectrum_gap(range(1, WIDTH + 1))
    theory.isometry_gap_bound(gap, d=WIDTH, layers=LAYERS)
    theory.isometry_gap_drift(range(1, WIDTH + 1))
    theory.gradient_growth_bound(gap, d=WIDTH, layers=LAYERS)


def fractional() -> None:
    for weights in ("haar", "gaussian"):
        theory.fractional_law(1.0, depth=LAYERS, n=BATCH, d=WIDTH, weights=weights)
        theory.orthogonality_plateau(n=8, d=WIDTH, alpha=0.5, weights=weights)


def residual() -> None:
    theory.pre_norm_growth(PHI, LAYERS, weight_std=1.0)
    variance = 1.0
    for _ in range(LAYERS // 10):
        variance *= math.exp(2 * theory.pre_norm_rates(PHI, variance, weight_std=1.0).signal)


def products() -> None:
    theory.lyapunov_exponents(WIDTH)
    theory.product_log_condition(WIDTH, factors=10)
    theory.collapse_rate(WIDTH, gamma=0.05)


def everything() -> None:
    for part in (lengths, correlations, batch_norm, isometry, fractional, residual, products):
        part()


if __name__ == "__main__":
    parts = (everything, lengths, correlations, batch_norm, isometry, fractional, residual, products)
    show(f"Predictions for {LAYERS} layers", side_by_side({part.__name__: part for part in parts}, repeats=3))
