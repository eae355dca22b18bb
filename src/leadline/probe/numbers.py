"""The numbers of tensors as layers have them: moments of all entries, spectra of rows; those of one shape at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from leadline._core.profile import MATRIX
from leadline.probe.capture import Call
from leadline.probe.inputs import Batch
from leadline.probe.moments import Moments, moments
from leadline.probe.rows import as_rows, is_sequence, sequences, taken_evenly
from leadline.probe.spectra import matrix_numbers


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers of one tensor.

    Attributes:
        moments: Of all its entries.
        matrix: Metrics of its rows by name.
        rows: How it became rows.
        n: Rows that were taken.
        d: Their length.
    """

    moments: Moments
    matrix: dict[str, float]
    rows: str
    n: int
    d: int

    @property
    def of_output(self) -> dict[str, float]:
        """As metrics of a layer's output."""
        own = self.moments
        return {
            "mean": own.mean,
            "std": own.std,
            "rms": own.rms,
            "max_abs": own.max_abs,
            "finite_fraction": own.finite_fraction,
            **self.matrix,
        }

    @property
    def of_grad(self) -> dict[str, float]:
        """As metrics of the gradient of a layer's output."""
        own = self.moments
        return {
            "grad_norm": own.norm,
            "grad_rms": own.rms,
            "grad_max_abs": own.max_abs,
            "grad_finite_fraction": own.finite_fraction,
            **{f"grad_{name}": self.matrix[name] for name in MATRIX},
        }


def numbers_of(tensors: Sequence[Tensor | None], batch: Batch, *, rows: int) -> list[Numbers | None]:
    """The numbers of each tensor; ``None`` where there is none, or nothing in it."""
    present = [t for t in tensors if t is not None and t.numel()]
    views = [as_rows(t, batch=batch.size, mask=batch.token_mask) for t in present]
    matrices = [taken_evenly(matrix, rows) for matrix, _ in views]
    found = iter(
        [
            Numbers(moments=own, matrix=values, rows=view, n=matrix.shape[0], d=matrix.shape[1])
            for own, values, matrix, (_, view) in zip(
                moments(present), matrix_numbers(matrices), matrices, views, strict=True
            )
        ]
    )
    return [next(found) if t is not None and t.numel() else None for t in tensors]


def token_metrics(calls: Sequence[Call], batch: Batch, *, rows: int) -> list[dict[str, float]]:
    """``token_*`` of each call: means over sequences of the metrics of their positions; empty where it is none."""
    taken = [
        sequences(call.output, batch=batch.size, rows=rows, mask=batch.token_mask)
        if call.output is not None and call.output.numel() and is_sequence(call, batch.size)
        else []
        for call in calls
    ]
    found = iter(matrix_numbers([tokens for each in taken for tokens in each]))
    values = [[next(found) for _ in each] for each in taken]
    return [
        {f"token_{name}": sum(v[name] for v in each) / len(each) for name in MATRIX} if each else {} for each in values
    ]
