"""Batch normalisation with every choice an argument of its own; torch's own is the default."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.nn.normalisation.moments import FeatureMoments, feature_moments, per_feature

TrainWith = Literal["batch", "fixed"]
EvaluateWith = Literal["running", "batch"]


class FeatureNorm(_BatchNorm):
    r"""Every feature normalised by its moments over the batch, for inputs of any number of axes.

    $$y_j = w_j\,\frac{x_j - \mu_j}{(v_j + \epsilon)^{\alpha/2}\,(\bar v + \epsilon)^{(1-\alpha)/2}} + b_j,
    \qquad \bar v = \tfrac1d \sum_j v_j ,$$

    with $v_j$ the variance about $\mu_j$ (about 0 without ``centre``). The classes ``BatchNorm1d``, ``BatchNorm2d``
    ($\alpha = 1$) and ``FractionalBatchNorm1d``, … are this one with the input's shape checked. Names of parameters and
    buffers are those of ``torch.nn.BatchNorm1d``, so state dicts go either way.

    Args:
        num_features: Features $d$.
        eps: $\epsilon \ge 0$.
        momentum: Weight of the newest batch in the running moments; ``None`` is their plain mean.
        affine: Whether there are $w$ and $b$.
        track_running_stats: Whether there are running moments; without them every mode takes the batch's.
        device: Where parameters and buffers lie.
        dtype: Their dtype.
        centre: Whether the mean is subtracted.
        scale: Whether it is divided at all.
        alpha: Share of the feature's own scale, in [0, 1].
        ddof: The batch's variance is divided by n − ``ddof``.
        running_ddof: The same for the running variance. Torch has 1; then evaluation shrinks a signal by
            $\sqrt{1-1/n}$ a layer, which at depth $2n$ and beyond is why deep nets fail in eval mode.
        train_with: ``"batch"``, or ``"fixed"``: the running moments as they are, which then never change.
        evaluate_with: ``"running"``, or ``"batch"``: the moments of whatever batch is evaluated.
        feature_axis: The axis of the features: 1 as in torch, −1 for tokens (sequences, positions, features).
        synchronised: Whether batches are spread over the processes of ``torch.distributed``.

    Raises:
        UsageError: If a number is out of range, a choice is unknown, or ``"fixed"`` has no running moments to use;
            in a call, if ``x`` has too few values per feature or the wrong shape.
    """

    _axes: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        centre: bool = True,
        scale: bool = True,
        alpha: float = 1.0,
        ddof: int = 0,
        running_ddof: int = 1,
        train_with: TrainWith = "batch",
        evaluate_with: EvaluateWith = "running",
        feature_axis: int = 1,
        synchronised: bool = False,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        check_choice("train_with", train_with, ("batch", "fixed"))
        check_choice("evaluate_with", evaluate_with, ("running", "batch"))
        if not 0 <= alpha <= 1:
            raise UsageError(f"alpha must be in [0, 1]; got {alpha}.")
        if eps < 0 or ddof < 0 or running_ddof < 0:
            raise UsageError(f"eps and the ddofs must not be negative; got {eps}, {ddof} and {running_ddof}.")
        if train_with == "fixed" and not track_running_stats:
            raise UsageError("train_with='fixed' uses the running moments; it needs track_running_stats=True.")
        self.centre, self.scale, self.alpha, self.ddof, self.running_ddof = centre, scale, alpha, ddof, running_ddof
        self.train_with, self.evaluate_with = train_with, evaluate_with
        self.feature_axis, self.synchronised = feature_axis, synchronised

    @property
    def uses_batch(self) -> bool:
        """Whether the next call takes the moments of its own batch, in the mode the module is in."""
        if not self.track_running_stats:
            return True
        return self.train_with == "batch" if self.training else self.evaluate_with == "batch"

    def forward(self, input: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The normalised batch, in the shape and dtype of ``input``; computed in float32 or wider."""
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        if self.uses_batch:
            self._check_count(x)
            moments = feature_moments(x, axis=self.feature_axis, centre=self.centre, synchronised=self.synchronised)
            if self.training and self.track_running_stats:
                self._track(moments)
            mean, variance = moments.mean, moments.variance
            if self.ddof:
                variance = variance * (moments.count / (moments.count - self.ddof))
        else:
            assert self.running_mean is not None and self.running_var is not None
            mean, variance = self.running_mean.to(x.dtype), self.running_var.to(x.dtype)
        return self._normalise(x, mean, variance).to(input.dtype)

    def _normalise(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        y = x - per_feature(mean, x, self.feature_axis) if self.centre else x
        factor = inverse_scale(variance, alpha=self.alpha, eps=self.eps) if self.scale else None
        if self.affine:
            factor = self.weight.to(x.dtype) if factor is None else factor * self.weight
        if factor is not None:
            y = y * per_feature(factor, x, self.feature_axis)
        return y + per_feature(self.bias.to(x.dtype), x, self.feature_axis) if self.affine else y

    @torch.no_grad()
    def _track(self, moments: FeatureMoments) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        newest = 1 / self.num_batches_tracked.to(moments.mean.dtype) if self.momentum is None else self.momentum
        unbiased = moments.variance * (moments.count / (moments.count - self.running_ddof))
        self.running_mean.add_(newest * (moments.mean - self.running_mean))
        self.running_var.add_(newest * (unbiased - self.running_var))

    def _check_input_dim(self, input: Tensor) -> None:
        if self._axes and input.ndim not in self._axes:
            expected = " or ".join(map(str, self._axes))
            raise UsageError(f"{type(self).__name__} takes {expected} axes; got shape {tuple(input.shape)}.")
        if input.ndim < 2 or input.shape[self.feature_axis] != self.num_features:
            raise UsageError(
                f"Axis {self.feature_axis} must have {self.num_features} features; got shape {tuple(input.shape)}."
            )

    def _check_count(self, x: Tensor) -> None:
        count = x.numel() // max(self.num_features, 1)
        tracked = self.running_ddof if self.training and self.track_running_stats else 0
        least = 1 + max(int(self.centre), self.ddof, tracked)
        if count < least and not self.synchronised:
            raise UsageError(
                f"The moments of a batch need at least {least} values per feature; got shape {tuple(x.shape)}. "
                "Use a larger batch, or running moments."
            )

    def extra_repr(self) -> str:
        """The options, those that differ from torch's after torch's own."""
        here = {name: getattr(self, name) for name in _TORCH_CHOICES}
        changed = "".join(f", {name}={value!r}" for name, value in here.items() if value != _TORCH_CHOICES[name])
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}{changed}"
        )


_TORCH_CHOICES: dict[str, Any] = {
    "centre": True,
    "scale": True,
    "alpha": 1.0,
    "ddof": 0,
    "running_ddof": 1,
    "train_with": "batch",
    "evaluate_with": "running",
    "feature_axis": 1,
    "synchronised": False,
}


def inverse_scale(variance: Float[Tensor, " features"], *, alpha: float, eps: float) -> Float[Tensor, " features"]:
    r"""$(v_j + \epsilon)^{-\alpha/2}\,(\bar v + \epsilon)^{-(1-\alpha)/2}$ with $\bar v$ the mean over the features.

    >>> inverse_scale(torch.tensor([4.0, 16.0]), alpha=1.0, eps=0.0)
    tensor([0.5000, 0.2500])
    """
    if alpha == 1:
        return (variance + eps).rsqrt()
    whole = (variance.mean() + eps).pow((alpha - 1) / 2)
    return (variance + eps).pow(-alpha / 2) * whole if alpha > 0 else whole.expand_as(variance)


class BatchNorm1d(FeatureNorm):
    """Batch normalisation of samples ``(n, features)`` or sequences ``(n, features, positions)``; see ``FeatureNorm``.

    Example:
        >>> BatchNorm1d(8, centre=False, evaluate_with="batch")
        BatchNorm1d(8, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, centre=False,
                    evaluate_with='batch')
    """

    _axes = (2, 3)


class BatchNorm2d(FeatureNorm):
    """Batch normalisation of maps ``(n, channels, height, width)``; see ``FeatureNorm``.

    Example:
        >>> BatchNorm2d(8).load_state_dict(torch.nn.BatchNorm2d(8).state_dict())
        <All keys matched successfully>
    """

    _axes = (4,)
