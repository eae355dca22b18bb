"""A callback for the Trainer of transformers."""

from typing import Any

from leadline._core.extras import require
from leadline.train.monitoring.monitor import Monitor

_callbacks = require("transformers.trainer_callback", extra="hf")


class TrainerMonitor(_callbacks.TrainerCallback):
    """Runs a ``Monitor`` on the model that the Trainer trains.

    The Trainer calls ``on_pre_optimizer_step`` after clipping, so gradients of parameters are taken at the end of each
    backward pass of a monitored step, before it. The Trainer divides the loss by the number of micro-batches itself.

    Args:
        **options: Those of ``Monitor``. ``every`` counts optimiser steps.

    Attributes:
        monitor: The monitor of the last training, with its readings and findings; ``None`` before it.
    """

    def __init__(self, **options: Any):
        self.options: dict[str, Any] = {"after_clipping": True} | options
        self.monitor: Monitor | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Attach to the model."""
        self.monitor = Monitor(kwargs["model"], **self.options).attach()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Gradients are complete."""
        if self.monitor is not None:
            # Gradients are taken before the Trainer unscales them.
            scaler = getattr(kwargs.get("optimizer"), "scaler", None)
            self.monitor.step(grad_scale=1.0 if scaler is None else scaler.get_scale())

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take everything off."""
        if self.monitor is not None:
            self.monitor.close()
