"""A run kept in a file, from which it goes on to the bit."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.wording import listed

NAME = "checkpoint.safetensors"
_FORM = 1


class Checkpoint:
    """The file ``checkpoint.safetensors`` in a folder: weights, buffers, optimiser, generators and losses.

    It is written to a neighbour first and moved into place, so that a process killed at any moment leaves the last
    whole one.

    Args:
        folder: Where it lies; made where it is missing.
        about: What else the run is known by, such as its data, as plain values; ``fit`` adds its arguments, and refuses
            a file of another run.

    Raises:
        UsageError: If ``folder`` is a file.

    Example:
        >>> Checkpoint("runs/digits", about={"data": "digits"}).path.name
        'checkpoint.safetensors'
    """

    def __init__(self, folder: str | Path, about: Mapping[str, Any] | None = None):
        self.path, self.settings = Path(folder) / NAME, dict(about or {})
        if self.path.parent.exists() and not self.path.parent.is_dir():
            raise UsageError(f"The checkpoint cannot be kept in {folder}, which is a file; name a folder.")

    def save(self, model: nn.Module, update: torch.optim.Optimizer, losses: Sequence[float]) -> None:
        """Write the run as it is after a whole step."""
        held: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in _tensors(model)}
        plain: dict[str, dict[str, Any]] = {}
        for index, state in update.state_dict()["state"].items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    held[f"optimiser.{index}.{name}"] = value
                elif value is not None:
                    plain.setdefault(str(index), {})[name] = value
        held["random"] = torch.get_rng_state()
        for device in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            held[f"random.{device}"] = torch.cuda.get_rng_state(device)
        held["losses"] = torch.tensor(losses, dtype=torch.float64)
        about = {"form": _FORM, "settings": self.settings, "optimiser": plain}
        partial = self.path.with_suffix(f".{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(
                {name: tensor.detach().cpu().contiguous().clone() for name, tensor in held.items()},
                partial,
                metadata={"leadline": json.dumps(about)},
            )
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, self.path)
        except OSError as error:
            raise UsageError(f"The checkpoint {self.path} cannot be written: {error.strerror}.") from error
        finally:
            partial.unlink(missing_ok=True)

    def restore(self, model: nn.Module, update: torch.optim.Optimizer) -> list[float]:
        """Put model, optimiser and generators where the file has them; the losses so far, none without a file.

        Raises:
            UsageError: If the file is of other settings or another model, or none of leadline's.
        """
        if not self.path.exists():
            return []
        held, about = self._read()
        self._compare(about["settings"])
        names = {f"model.{name}": tensor for name, tensor in _tensors(model)}
        stored = {name: tensor for name, tensor in held.items() if name.startswith("model.")}
        if {n: t.shape for n, t in names.items()} != {n: t.shape for n, t in stored.items()}:
            raise UsageError(f"{self.path} holds another model than this; name another folder, or delete the file.")
        with torch.no_grad():
            for name, tensor in names.items():
                tensor.copy_(stored[name])
        state = update.state_dict()
        state["state"] = {int(index): dict(values) for index, values in about["optimiser"].items()}
        for name, tensor in held.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".", 2)
                state["state"].setdefault(int(index), {})[key] = tensor
        update.load_state_dict(state)
        torch.set_rng_state(held["random"])
        for device in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            if f"random.{device}" in held:
                torch.cuda.set_rng_state(held[f"random.{device}"], device)
        return held["losses"].tolist()

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["leadline"])
                if about["form"] != _FORM:
                    raise ValueError(f"its form is {about['form']}, not {_FORM}")
                return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise UsageError(
                f"{self.path} is no checkpoint to go on from: {error}. Delete it to start anew."
            ) from error

    def _compare(self, settings: Mapping[str, Any]) -> None:
        other = [
            f"{name} {settings.get(name)!r}, here {self.settings.get(name)!r}"
            for name in sorted({*settings, *self.settings})
            if settings.get(name) != self.settings.get(name)
        ]
        if other:
            raise UsageError(
                f"{self.path} is of another run: it has {listed(other)}. Name another folder, or delete it to start "
                "anew."
            )


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers, each once."""
    return [*model.named_parameters(), *model.named_buffers()]
