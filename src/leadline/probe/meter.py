"""Measures tensors as they come: moments of all entries, spectra of rows; nothing is kept of them but the numbers."""

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from leadline._core.profile import MATRIX
from leadline.metrics._spectrum import widen
from leadline.probe.inputs import Batch
from leadline.probe.moments import Moments, moments
from leadline.probe.rows import as_rows, taken_evenly
from leadline.probe.spectra import Spectra

_CHUNK = 2**17  # entries of matrices at once: in float64 they stay in a core's cache

_OF_GRAD = {name: f"grad_{name}" for name in MATRIX}

Key = TypeVar("Key")


class Numbers(NamedTuple):
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
            **{of_grad: self.matrix[name] for name, of_grad in _OF_GRAD.items()},
        }


@dataclass(kw_only=True)
class Meter(Generic[Key]):
    """Takes tensors under keys of the caller's, measures those of one shape together, and lets go of them.

    Attributes:
        batch: The batch, for how its samples lie in a tensor.
        rows: Rows at most that spectra are taken of.
    """

    batch: Batch
    rows: int
    _waiting: dict[object, "_Waiting[Key]"] = field(default_factory=dict)
    _measured: dict[Key, tuple[Moments, str, int, int, int]] = field(default_factory=dict)
    _spectra: Spectra = field(default_factory=Spectra)

    def take(self, key: Key, tensor: Tensor | None) -> None:
        """Measure ``tensor``; where there is none, or nothing in it, the key has no numbers."""
        if tensor is None or not tensor.numel():
            return
        tensor = tensor.detach()  # so that nothing below is recorded
        whole, view = as_rows(tensor, batch=self.batch.size, mask=self.batch.token_mask, packed=self.batch.packed)
        matrix = taken_evenly(whole, self.rows)
        group = (tensor.shape, tensor.dtype, tensor.device)
        waiting = self._waiting.get(group)
        if waiting is None:
            shape = (matrix.shape[0], matrix.shape[1])
            waiting = self._waiting[group] = _Waiting(view=view, shape=shape, dtype=tensor.dtype)
        waiting.put(key, tensor, matrix)
        if len(waiting.keys) >= waiting.most:
            self._measure(waiting)

    def numbers(self) -> dict[Key, Numbers]:
        """The numbers of every tensor that was taken, by its key."""
        for waiting in self._waiting.values():
            self._measure(waiting)
        values = self._spectra.values()
        return {
            key: Numbers(moments=moment, matrix=values[place], rows=view, n=n, d=d)
            for key, (moment, view, n, d, place) in self._measured.items()
        }

    def _measure(self, waiting: "_Waiting[Key]") -> None:
        if not waiting.keys:
            return
        places = self._spectra.add(waiting.gram(), waiting.rows, d=waiting.shape[1], dtype=waiting.dtype)
        for key, place, moment in zip(waiting.keys, places, waiting.moments, strict=True):
            self._measured[key] = (moment, waiting.view, *waiting.shape, place)
        waiting.clear()


@dataclass(kw_only=True)
class _Waiting(Generic[Key]):
    """What was read of tensors of one shape, until there is enough of it for one call of linear algebra.

    Their rows go in float64 where those of the last ones were: fresh memory costs more than what is written to it.
    The tensors themselves are let go, and may be written on. Rows too long for that memory do not wait.
    """

    view: str
    shape: tuple[int, int]
    dtype: torch.dtype
    keys: list[Key] = field(default_factory=list)
    moments: list[Moments] = field(default_factory=list)
    _wide: Tensor | None = None
    _long: Tensor | None = None

    @property
    def most(self) -> int:
        """How many matrices are measured at once."""
        return max(1, _CHUNK // (self.shape[0] * self.shape[1]))

    def put(self, key: Key, tensor: Tensor, matrix: Tensor) -> None:
        """Read a tensor, while it is in the cache and is what it was when it came."""
        if self._wide is None:
            columns = min(self.shape[1], max(1, _CHUNK // self.shape[0]))
            self._wide = matrix.new_empty((self.most, self.shape[0], columns), dtype=torch.float64)
        if self._wide.shape[2] < self.shape[1]:
            self._long = matrix
        else:
            self._wide[len(self.keys)].copy_(widen(matrix) if self.dtype == torch.float64 else matrix)
        self.keys.append(key)
        self.moments.append(moments(tensor))

    def gram(self) -> Tensor:
        """The Gram matrices of what waits."""
        assert self._wide is not None
        if self._long is None or self.dtype == torch.float64:
            x = self._matrices()
            return x @ x.mT
        wide = self._wide[0]
        gram = wide.new_zeros(self.shape[0], self.shape[0])
        for piece in self._long.split(wide.shape[1], dim=1):
            x = wide[:, : piece.shape[1]].copy_(piece)
            gram.addmm_(x, x.mT)
        return gram[None]

    def rows(self, which: Tensor) -> Tensor:
        """Those matrices in float64; float64 ones on a scale on which squares neither over- nor underflow."""
        return self._matrices()[which]

    def _matrices(self) -> Tensor:
        assert self._wide is not None
        return self._wide[: len(self.keys)] if self._long is None else widen(self._long[None])

    def clear(self) -> None:
        """Let go of everything but the memory."""
        self.keys, self.moments, self._long = [], [], None
