"""Running moments measured anew, so that evaluation agrees with training at any depth."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from leadline._core.arguments import arguments
from leadline._core.errors import UsageError
from leadline._core.randomness import kept_rng
from leadline.nn.normalisation.moments import FeatureMoments, feature_moments


def recalibrate(model: nn.Module, batches: Iterable[Any]) -> nn.Module:
    r"""Set the running moments of every batch normalisation to those of ``batches``, in place.

    Each batch runs through the model with its own moments, all else in eval mode, without gradients; the running mean
    and variance become the pooled ones, by the pairwise formula in float64, divided by n (less ``ddof``, where the
    normalisation of a batch does so). With a single batch, eval mode then gives that batch the outputs of batch
    statistics, at any depth. Torch's running variance, divided by n − 1 and averaged over weights that have moved
    since, loses the signal in networks of hundreds of layers.

    Args:
        model: The model; modes and random generators are put back. Torch's normalisations and leadline's count.
        batches: What the model is called with: tensors, tuples (positional) or dicts (keywords). Large ones are best.

    Returns:
        ``model``.

    Raises:
        UsageError: If there is no batch.

    Source:
        meterez2023, section 6, where deep networks fail in eval mode.

    Example:
        >>> net = nn.BatchNorm1d(2)
        >>> recalibrate(net, [torch.tensor([[1.0, 0.0], [3.0, 4.0]])]).running_mean
        tensor([2., 2.])
    """
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    modes = {part: part.training for part in model.modules()}
    pooled: dict[_BatchNorm, FeatureMoments] = {}
    hooks = [norm.register_forward_pre_hook(_pooling_into(pooled)) for norm in norms]
    ran = False
    try:
        with torch.no_grad(), kept_rng():
            model.eval()
            for norm in norms:
                # In train mode without tracking, torch's and ours take the batch's moments and keep their buffers.
                norm.train()
                norm.track_running_stats = False
            for batch in batches:
                _call(model, batch)
                ran = True
    finally:
        for hook in hooks:
            hook.remove()
        for norm in norms:
            norm.track_running_stats = True
        for part, training in modes.items():
            part.training = training
    if not ran:
        raise UsageError("Recalibration needs at least one batch; got none.")
    for norm, moments in pooled.items():
        _store(norm, moments)
    return model


def _call(model: nn.Module, batch: Any) -> None:
    args, kwargs = arguments(tuple(batch) if isinstance(batch, list) else batch)
    model(*args, **kwargs)


def _pooling_into(pooled: dict[_BatchNorm, FeatureMoments]) -> Any:
    def pool(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, _BatchNorm)
        new = feature_moments(
            inputs[0].detach().double(),
            axis=getattr(norm, "feature_axis", 1),
            centre=getattr(norm, "centre", True),
            synchronised=isinstance(norm, nn.SyncBatchNorm) or getattr(norm, "synchronised", False),
        )
        pooled[norm] = new if norm not in pooled else _merged(pooled[norm], new)

    return pool


def _merged(a: FeatureMoments, b: FeatureMoments) -> FeatureMoments:
    count = a.count + b.count
    share = b.count / count
    gap = b.mean - a.mean
    variance = a.variance + share * (b.variance - a.variance) + share * (1 - share) * gap.square()
    return FeatureMoments(count, a.mean + share * gap, variance)


@torch.no_grad()
def _store(norm: _BatchNorm, moments: FeatureMoments) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(moments.mean)
    norm.running_var.copy_(moments.variance * (moments.count / (moments.count - getattr(norm, "ddof", 0))))
