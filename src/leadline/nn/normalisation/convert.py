"""Swaps the batch normalisations of a model for fractional ones."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from leadline._core.errors import UsageError
from leadline.nn.normalisation.batch_norm import FeatureNorm
from leadline.nn.normalisation.fractional import (
    FractionalBatchNorm,
    FractionalBatchNorm1d,
    FractionalBatchNorm2d,
    FractionalBatchNorm3d,
    chosen_alpha,
)


def convert_batch_norm(model: nn.Module, *, alpha: float | None = None, depth: int | None = None) -> nn.Module:
    r"""Replace every batch normalisation in ``model`` by a fractional one with its parameters and buffers.

    As ``torch.nn.SyncBatchNorm.convert_sync_batchnorm`` does: children are replaced in place, and the model is
    returned, or its replacement where it is a batch normalisation itself. Parameters and buffers are handed over, not
    copied, so that optimisers and ties stay valid; a module used twice stays one module. The function of the network
    changes: a trained model must be trained on.

    Args:
        model: Any module; ``BatchNorm1d`` to ``3d``, ``SyncBatchNorm`` and leadline's own are replaced,
            except those that do not scale.
        alpha: The exponent, in [0, 1].
        depth: Layers to choose it from; by default the number of batch normalisations in ``model``.

    Returns:
        The model; without a batch normalisation in it, as it was.

    Raises:
        UsageError: If ``alpha`` and ``depth`` are both given or out of range, or a lazy module has not run yet.

    Source:
        leadline, fractional batch normalisation.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        >>> convert_batch_norm(net, alpha=0.2)[1].alpha
        0.2
    """
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm) and getattr(part, "scale", True)]
    exponent = chosen_alpha(alpha, len(norms) if alpha is None and depth is None and norms else depth)
    swapped = {norm: _fractional(norm, exponent) for norm in norms}
    for part in list(model.modules()):
        # Not `named_children`, which lists a module under two names of one parent once.
        for name, child in part._modules.items():
            if isinstance(child, _BatchNorm):
                part._modules[name] = swapped.get(child, child)
    return swapped.get(model, model) if isinstance(model, _BatchNorm) else model


def _fractional(norm: _BatchNorm, alpha: float) -> FractionalBatchNorm:
    held = [*norm._parameters.values(), *norm._buffers.values()]
    if any(isinstance(value, UninitializedParameter | UninitializedBuffer) for value in held):
        raise UsageError(f"{type(norm).__name__} does not know its features yet; run the model once before converting.")
    own = norm if isinstance(norm, FeatureNorm) else None
    new = _class_for(norm)(
        norm.num_features,
        alpha=alpha,
        eps=norm.eps,
        momentum=norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
        centre=own is None or own.centre,
        feature_axis=1 if own is None else own.feature_axis,
        synchronised=isinstance(norm, nn.SyncBatchNorm) or (own is not None and own.synchronised),
    )
    for name, parameter in norm._parameters.items():
        new.register_parameter(name, parameter)
    for name, buffer in norm._buffers.items():
        new.register_buffer(name, buffer)
    if own is not None:
        new.train_with, new.evaluate_with = own.train_with, own.evaluate_with
    return new.train(norm.training)


def _class_for(norm: _BatchNorm) -> type[FractionalBatchNorm]:
    by_dimension = {"1d": FractionalBatchNorm1d, "2d": FractionalBatchNorm2d, "3d": FractionalBatchNorm3d}
    return by_dimension.get(type(norm).__name__[-2:], FractionalBatchNorm)
