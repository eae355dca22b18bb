"""Where a model lives and in which numbers: devices and dtypes by name."""

from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.arguments import mapped, tensors
from leadline._core.errors import UsageError
from leadline._core.names import check_choice

DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
    "float64": torch.float64,
    "fp64": torch.float64,
}


def dtype_of(name: str | torch.dtype) -> torch.dtype:
    """The floating-point dtype of that name.

    >>> dtype_of("bf16")
    torch.bfloat16
    """
    return name if isinstance(name, torch.dtype) else DTYPES[check_choice("dtype", name, DTYPES)]


def device_of(name: str | torch.device) -> torch.device:
    """The device of that name, if this machine has it.

    Raises:
        UsageError: If torch knows no such device, or the machine has none.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"There is no device {str(name)!r} here; there is {', '.join(_present())}.") from error
    if device.type == "meta":
        raise UsageError("Nothing can be measured on the device 'meta', which holds no numbers.")
    return device


def _present() -> list[str]:
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def place(value: Any, *, device: torch.device, dtype: torch.dtype | None) -> Any:
    """A module, or nested tensors, on ``device``; parameters and float tensors in ``dtype`` where one is given.

    Integers and complex numbers keep theirs.

    Raises:
        UsageError: If any of it lies on the device ``meta``, which holds no numbers.
    """
    held = [*value.parameters(), *value.buffers()] if isinstance(value, nn.Module) else tensors(value)
    if any(tensor.is_meta for tensor in held):
        what = "The model" if isinstance(value, nn.Module) else "The batch"
        raise UsageError(f"{what} lies on the device 'meta', which holds no numbers; build it on another.")

    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

    if isinstance(value, nn.Module):
        if dtype is None or not any(tensor.is_complex() for tensor in held):
            return value.to(device=device, dtype=dtype)
        # Not `to`, which makes complex parameters real.
        return value._apply(moved)
    return mapped(lambda _name, tensor: moved(tensor), value)
