"""Metrics of the positions of sequences: how alike the tokens of one sequence are."""

from collections import defaultdict
from dataclasses import dataclass, field

import torch
from torch import Tensor

from leadline._core.profile import MATRIX
from leadline.metrics._spectrum import widen
from leadline.probe.capture import Call
from leadline.probe.inputs import Batch
from leadline.probe.rows import is_sequence, sequences
from leadline.probe.spectra import Spectra


@dataclass(kw_only=True)
class Tokens:
    """Takes outputs and measures those that are sequences, position by position.

    Attributes:
        batch: The batch, for how its samples lie in an output, and for its padding.
        rows: Positions at most that are taken of a sequence.
    """

    batch: Batch
    rows: int
    _spectra: Spectra = field(default_factory=Spectra)
    _owners: list[Call] = field(default_factory=list)

    @torch.no_grad()
    def take(self, call: Call, output: Tensor) -> None:
        """Measure the output of ``call`` if it is a sequence."""
        if not output.numel() or not is_sequence(call, self.batch.size):
            return
        taken = sequences(output.detach(), batch=self.batch.size, rows=self.rows, mask=self.batch.token_mask)
        for length in sorted({len(tokens) for tokens in taken}):
            x = widen(torch.stack([tokens for tokens in taken if len(tokens) == length]))
            self._spectra.add(x @ x.mT, x.__getitem__, d=x.shape[-1], dtype=output.dtype)
            self._owners += [call] * len(x)

    def metrics(self) -> dict[Call, dict[str, float]]:
        """``token_*`` of each sequence: means over its samples."""
        found: dict[Call, list[dict[str, float]]] = defaultdict(list)
        for call, values in zip(self._owners, self._spectra.values(), strict=True):
            found[call].append(values)
        return {
            call: {f"token_{name}": sum(v[name] for v in values) / len(values) for name in MATRIX}
            for call, values in found.items()
        }
