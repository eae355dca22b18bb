"""The weights of a model as a safetensors file that ``Repair.apply`` loads."""

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from leadline._core.errors import UsageError


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the state dict of ``model``; a tensor that stands in it several times is written once.

    Raises:
        UsageError: If the state dict holds something else than tensors.
    """
    state: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            raise UsageError(
                f"The weights cannot be written: {name!r} in the state dict of this {type(model).__name__} is no "
                f"tensor but {type(value).__name__}. Repair it from Python and save it in your own way."
            )
        if id(value) not in seen:
            seen.add(id(value))
            state[name] = value.detach().cpu().contiguous().clone()
    save_file(state, path)
