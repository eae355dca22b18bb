"""How a tensor becomes the rows of a matrix, and which of its axes is the features.

* ``samples``: one row a sample, everything else flattened. Sequences with time first, ``(t, n, c)``, and tensors
  whose first axis holds samples times windows or positions are brought to samples first. Padded positions
  count as zeros.
* ``tokens``: one row a position of one sequence, features as columns, padded positions left out; the metrics
  ``token_*`` are means over at most ``SEQUENCES`` evenly taken sequences of three-axis outputs ``(n, t, c)``.
* ``positions``: a tensor whose axes hold no samples (a table of positions, tokens sent to one expert) has a row
  for each position, features as columns.

Of more rows than asked for, evenly spaced ones are taken.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from leadline.probe.capture import Call
from leadline.probe.modules import kind

SEQUENCES = 4
# Classes, by a part of their name, whose features lie along axis 1; Transformers' Conv1D is a linear map.
_FEATURES_SECOND = ("Conv", "BatchNorm", "GroupNorm", "InstanceNorm")


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` evenly spaced indices of ``range(count)``.

    >>> evenly(10, 4)
    [0, 2, 5, 7]
    """
    kept = min(count, most)
    return [i * count // kept for i in range(kept)]


def feature_axis(ndim: int, carrier: Call | None) -> int:
    """The axis of a tensor's features, from the module with parameters that it came out of last.

    The ``feature_axis`` of a module that says one; axis 1 behind convolutions, batch and group norms, the last axis
    behind linear maps and layer norms; where the number of axes has changed since: axis 1 of maps, the last axis of
    rows and tokens.
    """
    if carrier is not None and len(carrier.shape) == ndim:
        own = getattr(carrier.module, "feature_axis", None)
        if isinstance(own, int) and -ndim <= own < ndim:
            return own % ndim
        name = kind(carrier.module)
        second = name != "Conv1D" and any(part in name for part in _FEATURES_SECOND)
        return 1 if second else ndim - 1
    return 1 if ndim >= 4 else max(ndim - 1, 0)


def samples_first(shape: Sequence[int], batch: int) -> bool | None:
    """Whether samples lie along the first axis (also merged with others), or the second; ``None``: along neither."""
    if shape and shape[0] == batch:
        return True
    if len(shape) >= 3 and shape[1] == batch:
        return False
    return True if shape and shape[0] and shape[0] % batch == 0 else None


def as_rows(x: Tensor, *, batch: int, mask: Tensor | None = None, packed: int = 0) -> tuple[Tensor, str]:
    """``x`` as a matrix, and the kind of its rows: ``"samples"`` or, where it holds none, ``"positions"``.

    Args:
        x: Output of a module or its gradient.
        batch: Samples in the batch.
        mask: Which positions of each sample are real, ``(n, t)``.
        packed: Length of a first axis that holds the positions of all samples, in no order by samples.
    """
    if x.ndim == 2 and x.shape[0] == batch:
        return x, "samples"
    if x.ndim == 0:
        return x.reshape(1, 1), "positions"
    first = None if packed and packed == len(x) else samples_first(x.shape, batch)
    if first is None:
        return x.reshape(-1, x.shape[-1]) if x.ndim > 1 else x.reshape(-1, 1), "positions"
    if not first:
        x = x.transpose(0, 1)
    if mask is not None and x.ndim == 3 and x.shape[:2] == mask.shape:
        x = x * mask.unsqueeze(-1).to(x.dtype)
    return x.reshape(batch, -1), "samples"


def is_sequence(call: Call, batch: int) -> bool:
    """Whether a call's output is ``(n, t, c)`` or ``(t, n, c)`` with features last and more than one position."""
    shape = call.shape
    if len(shape) != 3 or batch not in shape[:2] or feature_axis(3, call.carrier) != 2:
        return False
    return shape[1 if shape[0] == batch else 0] > 1


def sequences(x: Tensor, *, batch: int, rows: int, mask: Tensor | None = None) -> list[Tensor]:
    """Evenly taken sequences of ``x``, each a matrix of at most ``rows`` evenly taken real positions."""
    if x.shape[0] != batch:
        x = x.transpose(0, 1)
    taken = []
    for i in evenly(batch, SEQUENCES):
        tokens = x[i] if mask is None or mask.shape != x.shape[:2] else x[i][mask[i]]
        if len(tokens) > 1:
            taken.append(taken_evenly(tokens, rows))
    return taken


def taken_evenly(x: Tensor, rows: int) -> Tensor:
    """At most ``rows`` evenly spaced rows of ``x``."""
    count = x.shape[0]
    if count <= rows:
        return x
    if count % rows == 0:
        return x[:: count // rows]  # the same rows as a view
    return x[torch.tensor(evenly(count, rows), device=x.device)]
