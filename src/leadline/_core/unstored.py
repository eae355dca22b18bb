"""What is asked of a module whose weight exists only through its products."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.errors import UsageError


class UnstoredWeight(ABC):
    """A linear map of rows whose matrix is no parameter: what measures or redraws a model asks it here.

    Attributes:
        weight_shape: Outputs and inputs of the matrix.
    """

    weight_shape: tuple[int, int]

    @abstractmethod
    def redraw(self, *, init: str, gain: float) -> None:
        """Another matrix, of the law that ``leadline.nn.fill`` calls ``init``, and the bias that goes with it."""

    @abstractmethod
    def weight_image(self, columns: Tensor) -> Tensor:
        """The matrix times ``columns``; without a gradient."""

    @abstractmethod
    def exact_weight_norm(self) -> float | None:
        """Its Frobenius norm where that is cheap, ``None`` elsewhere."""

    @abstractmethod
    def record_weight_grad(self) -> None:
        """From now on gradients of the matrix are noted, and those before are none."""

    @abstractmethod
    def weight_grad_norm(self) -> float | None:
        """Frobenius norm of the gradient noted so far; ``None`` where there was none."""

    @abstractmethod
    def weight_state(self) -> Any:
        """Everything about the matrix that use of the module changes."""

    @abstractmethod
    def restore_weight(self, state: Any) -> None:
        """Back to where ``weight_state`` was asked."""


def weight_name(path: str) -> str:
    """How the weight of the module at ``path`` is called, as if it were a parameter."""
    return f"{path}.weight" if path else "weight"


@torch.no_grad()
def measured(module: UnstoredWeight, columns: Tensor) -> tuple[float, Tensor]:
    """The norm of the weight and its product with independent standard normal ``columns``; reveals nothing for good.

    Where the norm is not cheap it is estimated by that of the product, with a relative standard error of about
    1/√(2 · columns · outputs).
    """
    state = module.weight_state()
    try:
        image, norm = module.weight_image(columns), module.exact_weight_norm()
    finally:
        module.restore_weight(state)
    return float(image.norm()) / columns.shape[1] ** 0.5 if norm is None else norm, image


def refuse_unstored(model: nn.Module, *, optimiser: str) -> None:
    """Refuse to train the stored parameters of ``model`` alone, as if the others were meant to stay."""
    name = next((name for name, part in model.named_modules() if isinstance(part, UnstoredWeight)), None)
    if name is not None:
        why = "" if optimiser == "sgd" else ", since Adam divides every entry of a gradient by a size of its own"
        raise UsageError(
            f"The weight of {name or 'the model'} is not stored and cannot be trained by {optimiser}{why}; "
            "use leadline.simulate.LazySGD, or dense weights."
        )
