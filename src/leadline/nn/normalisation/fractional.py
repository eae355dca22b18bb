r"""Fractional batch normalisation: a feature is divided by a power of its own scale, the rest by the layer's."""

import math
from typing import Any

from leadline._core.errors import UsageError
from leadline.nn.normalisation.batch_norm import EvaluateWith, FeatureNorm

_AT_DEPTH_1000 = 0.1


def alpha_for_depth(depth: int) -> float:
    r"""The exponent $\min(1, \sqrt{10/L})$ of fractional batch normalisation for $L$ layers.

    Growth of the log gradient norm over the whole depth goes like $\alpha^2 L$ (measured with Haar weights from
    $\alpha = .1$ to .8: $\alpha^{2.1}$), so that it stays bounded with $\alpha \propto 1/\sqrt L$; the constant is such
    that $\alpha = .1$ at depth 1000. Up to depth 10 it is batch normalisation.

    Args:
        depth: Normalised layers, at least 1.

    Raises:
        UsageError: If ``depth`` is below 1.

    Source:
        leadline, fractional batch normalisation.

    Example:
        >>> round(alpha_for_depth(1000), 12), alpha_for_depth(5)
        (0.1, 1.0)
    """
    if depth < 1:
        raise UsageError(f"depth must be at least 1; got {depth}.")
    return min(1.0, math.sqrt(10 / depth))


class FractionalBatchNorm(FeatureNorm):
    r"""Fractional batch normalisation of inputs of any number of axes.

    $$y_j = w_j\,\frac{x_j - \mu_j}{R_j^{\alpha}\,\bar R^{1-\alpha}} + b_j$$

    with $R_j$ the root mean square of feature $j$ over the batch (about $\mu_j$ with ``centre``) and $\bar R$ that of
    the whole tensor; $\epsilon$ is added to both squares. $\alpha = 1$ is batch normalisation, $\alpha \to 0$ one
    scale for the layer. The gradient grows about $\alpha^2$ times as fast, at every batch size and for Gaussian weights
    too. With orthogonal weights representations still become (nearly) orthogonal with depth; with Gaussian ones they
    collapse further than behind batch normalisation, since the weights' own noise stays. The whole layer's scale is the
    running variance's mean, so that the state dict is ``torch.nn.BatchNorm1d``'s. The running variance is divided by
    n, not n − 1, so that evaluation does not shrink the signal layer by layer.

    Args:
        num_features: Features.
        alpha: The exponent, in [0, 1]; by default that for ``depth``, or .1 (right for a thousand layers).
        depth: Normalised layers of the network, from which the exponent is chosen; not beside ``alpha``.
        eps: $\epsilon \ge 0$.
        momentum: Weight of the newest batch in the running moments; ``None`` is their plain mean.
        affine: Whether there are $w$ and $b$.
        track_running_stats: Whether there are running moments.
        centre: Whether the mean is subtracted.
        evaluate_with: ``"running"`` moments, or those of the evaluated ``"batch"``.
        feature_axis: The axis of the features: 1 as in torch, −1 for tokens (sequences, positions, features).
        synchronised: Whether batches are spread over the processes of ``torch.distributed``.
        device: Where parameters and buffers lie.
        dtype: Their dtype.

    Raises:
        UsageError: If ``alpha`` is outside [0, 1] or given beside ``depth``, or ``depth`` is below 1.

    Source:
        leadline, fractional batch normalisation.

    Example:
        >>> FractionalBatchNorm(8, depth=40).alpha
        0.5
    """

    def __init__(
        self,
        num_features: int,
        *,
        alpha: float | None = None,
        depth: int | None = None,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        centre: bool = True,
        evaluate_with: EvaluateWith = "running",
        feature_axis: int = 1,
        synchronised: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            num_features,
            eps,
            momentum,
            affine,
            track_running_stats,
            device,
            dtype,
            centre=centre,
            alpha=chosen_alpha(alpha, depth),
            running_ddof=0,
            evaluate_with=evaluate_with,
            feature_axis=feature_axis,
            synchronised=synchronised,
        )


def chosen_alpha(alpha: float | None, depth: int | None) -> float:
    """``alpha`` itself, or that for ``depth``, or the default."""
    if alpha is not None and depth is not None:
        raise UsageError(f"Give alpha or the depth it is chosen from, not both; got alpha={alpha} and depth={depth}.")
    if alpha is not None:
        return float(alpha)
    return _AT_DEPTH_1000 if depth is None else alpha_for_depth(depth)


class FractionalBatchNorm1d(FractionalBatchNorm):
    """For samples ``(n, features)``, sequences ``(n, features, positions)`` or tokens; see ``FractionalBatchNorm``."""

    _axes = (2, 3)


class FractionalBatchNorm2d(FractionalBatchNorm):
    """For maps ``(n, channels, height, width)``; see ``FractionalBatchNorm``."""

    _axes = (4,)


class FractionalBatchNorm3d(FractionalBatchNorm):
    """For volumes ``(n, channels, depth, height, width)``; see ``FractionalBatchNorm``."""

    _axes = (5,)
