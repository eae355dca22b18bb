"""A linear layer of any width at initialisation, whose weight is revealed on demand."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.unstored import UnstoredWeight
from leadline.simulate.gaussian import LazyGaussian
from leadline.simulate.matrix import LazyMatrix, State
from leadline.simulate.semi_orthogonal import LazySemiOrthogonal

_FEW = 64  # rows or columns that are asked for one by one where a norm is wanted
_TORCH = 3**-0.5  # standard deviation of the entries that torch.nn.Linear draws, times the root of the inputs


class Update(NamedTuple):
    """What training made of a drawn matrix $W_0$: ``kept * W_0 + left.mT @ (factors[:, None] * right)``."""

    kept: float
    factors: Float[Tensor, " k"]
    left: Float[Tensor, "k outputs"]
    right: Float[Tensor, "k inputs"]

    @classmethod
    def nothing(cls, left: Tensor, right: Tensor) -> "Update":
        """No change, for pairs like these."""
        return cls(1.0, left.new_empty(0), left[:0], right[:0])

    def of(self, drawn: Tensor, x: Tensor, *, transposed: bool = False) -> Tensor:
        """The product with the columns ``x``, of that of the ``drawn`` matrix."""
        left, right = (self.right, self.left) if transposed else (self.left, self.right)
        return self.kept * drawn + left.mT @ (self.factors[:, None] * (right @ x))


class WeightState(NamedTuple):
    """What use of a layer changes: of the list of gradients, how many there were."""

    matrix: State
    update: Update | None
    grads: list[tuple[Tensor, Tensor]] | None
    noted: int


class LazyLinear(nn.Module, UnstoredWeight):
    r"""$y = x W^\top + b$ with a random $W$ that is never formed: ``torch.nn.Linear`` at any width, exactly in law.

    $W$ has independent entries $N(0, g^2/\text{in})$ (``"gaussian"``), or is $g$ times a uniform matrix with
    orthonormal rows or columns (``"haar"``). It is a ``LazyMatrix`` in ``matrix``: $n$ samples cost
    $O(n\,(n + k)\,(\text{in} + \text{out}))$ after $k$ directions, and what was answered stays so. By default $W$ is
    Gaussian with the variance of torch's entries, which are uniform: the law of their products has no short form. The
    bias is drawn as torch does.

    The matrix is no parameter: ``parameters()`` and ``state_dict()`` hold the bias alone, and optimisers pass it by
    (``LazySGD`` trains it). ``copy.deepcopy`` and ``pickle`` carry what was revealed and the generator. Made anew with
    the same seed, the layer gives the same answers to the same questions in the same order. ``leadline.profile`` and
    ``check`` measure it like a linear layer, and reveal nothing for good.

    Args:
        in_features: Entries of a sample.
        out_features: Outputs.
        bias: Whether there is a bias.
        weights: Law of the matrix, ``"gaussian"`` or ``"haar"``.
        gain: Its scale $g$; by default $1/\sqrt 3$, torch's own, for Gaussian and 1 for Haar matrices.
        seed: Seed of matrix and bias; without one, of the operating system.
        dtype: float32 or float64; by default that of the samples that come first, and torch's default dtype where the
            weight is asked for before.
        device: Where the bias lies; the matrix follows what it is multiplied with.

    Raises:
        UsageError: If a size is below 1, the law is unknown, or the gain not finite.

    Source:
        leadline: as for ``LazyGaussian`` and ``LazyHaar``.

    Example:
        >>> layer = LazyLinear(1_000_000, 1_000_000, bias=False, gain=1.0, seed=0)
        >>> y = layer(torch.ones(2, 1_000_000))
        >>> y.shape, torch.equal(y[0], y[1]), f"{y.square().mean():.1f}"
        (torch.Size([2, 1000000]), True, '1.0')
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weights: str = "gaussian",
        gain: float | None = None,
        seed: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight_shape = (out_features, in_features)
        self.weights = check_choice("weights", weights, ("gaussian", "haar"))
        self.gain = gain if gain is not None else _TORCH if weights == "gaussian" else 1.0
        generator = torch.Generator()
        self.seed = generator.seed() if seed is None else seed
        generator.manual_seed(self.seed)
        self._matrix_seed = int(torch.randint(2**63 - 1, (), generator=generator))
        self._samples_decide = dtype is None
        self.matrix = self._drawn(dtype or torch.get_default_dtype())
        self.bias = None
        if bias:
            uniform = torch.rand(out_features, generator=generator, dtype=dtype)
            self.bias = nn.Parameter((2 * uniform - 1).div_(math.sqrt(in_features)).to(device))
        self.update: Update | None = None
        self.weight_grads: list[tuple[Tensor, Tensor]] | None = None

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """The images of the samples."""
        if x.shape[-1] != self.in_features:
            raise UsageError(f"{self} takes samples of {self.in_features} features, got {tuple(x.shape)}.")
        rows = x.reshape(-1, self.in_features)
        if self._samples_decide and not self.matrix.revealed:
            self.matrix.dtype = rows.dtype
        columns = self.matrix.matmul(rows.mT)
        y = (columns if self.update is None else self.update.of(columns, rows.mT)).mT
        if self.weight_grads is not None and torch.is_grad_enabled():
            y = self._noted(rows.detach(), y)
        y = y.reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """What the layer was made with."""
        law = f"weights={self.weights!r}, gain={self.gain:.4g}"
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, {law}"

    def materialise(self) -> Float[Tensor, "outputs inputs"]:
        """The weight as it is now, trained or not, as a dense matrix; every later product agrees with it."""
        dense = self.matrix.materialise()
        identity = torch.eye(self.in_features, dtype=dense.dtype, device=dense.device)
        return dense if self.update is None else self.update.of(dense, identity)

    def redraw(self, *, init: str, gain: float) -> None:
        """Another matrix, from the same seed, of a law of ``leadline.nn.fill``.

        Args:
            init: ``"default"``: the law that it has, times ``gain``, and the same bias. All others make the bias zero:
                ``"he"``, ``"xavier"`` and ``"gaussian"`` are Gaussian, ``"orthogonal"`` is Haar.
            gain: Factor on the weights.
        """
        fan_in, fan_out = self.in_features, self.out_features
        laws = {
            "default": (self.weights, gain * self.gain),
            "he": ("gaussian", gain * math.sqrt(2)),
            "xavier": ("gaussian", gain * math.sqrt(2 * fan_in / (fan_in + fan_out))),
            "gaussian": ("gaussian", gain),
            "orthogonal": ("haar", gain),
        }
        self.weights, self.gain = laws[check_choice("init", init, laws)]
        self.matrix, self.update = self._drawn(self.matrix.dtype), None
        if self.bias is not None and init != "default":
            nn.init.zeros_(self.bias)

    def weight_image(self, columns: Float[Tensor, "inputs k"]) -> Float[Tensor, "outputs k"]:
        """The matrix times ``columns``, without a gradient; reveals."""
        return self._image(columns, transposed=False)

    def exact_weight_norm(self) -> float | None:
        """Frobenius norm of a matrix with at most 64 rows or columns, ``None`` of larger ones; reveals."""
        if min(self.weight_shape) > _FEW:
            return None
        transposed = self.out_features <= self.in_features
        return float(self._image(torch.eye(min(self.weight_shape)), transposed=transposed).norm())

    @torch.no_grad()
    def _image(self, columns: Tensor, *, transposed: bool) -> Tensor:
        columns = columns.to(self.matrix.device or columns.device, self.matrix.dtype or columns.dtype)
        image = self.matrix.rmatmul(columns) if transposed else self.matrix.matmul(columns)
        return image if self.update is None else self.update.of(image, columns, transposed=transposed)

    def record_weight_grad(self) -> None:
        """From now on gradients of the matrix are noted anew, as pairs of rows, one pair for each use."""
        self.weight_grads = []

    def weight_grad_norm(self) -> float | None:
        """Frobenius norm of the gradient noted so far; ``None`` where there was none."""
        if not self.weight_grads:
            return None
        grads, rows = (torch.cat(each).double() for each in zip(*self.weight_grads, strict=True))
        return float(((grads @ grads.mT) * (rows @ rows.mT)).sum().clamp(min=0).sqrt())

    def weight_state(self) -> WeightState:
        """Everything about the matrix that use of the layer changes."""
        return WeightState(self.matrix.state(), self.update, self.weight_grads, len(self.weight_grads or ()))

    def restore_weight(self, state: WeightState) -> None:
        """Back to where ``weight_state`` was asked."""
        self.matrix.restore(state.matrix)
        self.update, self.weight_grads = state.update, state.grads
        if self.weight_grads is not None:
            del self.weight_grads[state.noted :]

    def _drawn(self, dtype: torch.dtype | None) -> LazyMatrix:
        kind = LazyGaussian if self.weights == "gaussian" else LazySemiOrthogonal
        generator = torch.Generator().manual_seed(self._matrix_seed)
        return kind(self.out_features, self.in_features, scale=self.gain, generator=generator, dtype=dtype)

    def _noted(self, rows: Tensor, y: Tensor) -> Tensor:
        """``y``, whose gradient is put down with the ``rows`` that it belongs to when it arrives."""

        def note(grad: Tensor) -> None:
            if self.weight_grads is not None:
                self.weight_grads.append((grad.detach(), rows))

        if not y.requires_grad:
            y.requires_grad_()
        y.register_hook(note)
        return y

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LazyLinear":
        super()._apply(fn, recurse)
        self.matrix.move(fn)
        if self.update is not None:
            kept, *tensors = self.update
            self.update = Update(kept, *map(fn, tensors))
        return self
