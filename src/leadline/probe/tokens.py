"""Metrics of the positions of sequences: how alike the tokens of one sequence are."""

from collections import defaultdict
from collections.abc import Sequence

import torch

from leadline._core.profile import MATRIX
from leadline.metrics._spectrum import widen
from leadline.probe.capture import Call
from leadline.probe.inputs import Batch
from leadline.probe.rows import is_sequence, sequences
from leadline.probe.spectra import Spectra


@torch.no_grad()
def token_metrics(calls: Sequence[Call], batch: Batch, *, rows: int) -> dict[Call, dict[str, float]]:
    """``token_*`` of the calls whose outputs are sequences: means over sequences of the metrics of their positions."""
    spectra = Spectra()
    owners: list[Call] = []
    for call in calls:
        if call.output is None or not call.output.numel() or not is_sequence(call, batch.size):
            continue
        taken = sequences(call.output, batch=batch.size, rows=rows, mask=batch.token_mask)
        for length in sorted({len(tokens) for tokens in taken}):
            x = widen(torch.stack([tokens for tokens in taken if len(tokens) == length]))
            spectra.add(x @ x.mT, x.__getitem__, d=x.shape[-1], dtype=call.dtype)
            owners += [call] * len(x)
    found: dict[Call, list[dict[str, float]]] = defaultdict(list)
    for call, values in zip(owners, spectra.values(), strict=True):
        found[call].append(values)
    return {
        call: {f"token_{name}": sum(v[name] for v in values) / len(values) for name in MATRIX}
        for call, values in found.items()
    }
