"""A callback for Lightning's Trainer."""

from typing import Any

from leadline._core.extras import require
from leadline.train.monitoring.monitor import Monitor

_pytorch = require("lightning.pytorch", extra="lightning")


class LightningMonitor(_pytorch.Callback):
    """Runs a ``Monitor`` on the module that is fitted; scalars also go to the Trainer's logger.

    Args:
        **options: Those of ``Monitor``. ``every`` counts optimiser steps.

    Attributes:
        monitor: The monitor of the last fit, with its readings and findings; ``None`` before it.
    """

    def __init__(self, **options: Any):
        super().__init__()
        self.options = options
        self.monitor: Monitor | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach to the module."""
        self.monitor = Monitor(pl_module, **self.options).attach()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Gradients are complete, unscaled and not yet clipped."""
        if self.monitor is None:
            return
        reading = self.monitor.step()
        if reading is not None and trainer.logger is not None:
            scalars = {f"leadline/{name}": value for name, value in reading.scalars().items()}
            trainer.logger.log_metrics(scalars, step=trainer.global_step)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Take everything off."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Take everything off."""
        self._close()

    def _close(self) -> None:
        if self.monitor is not None:
            self.monitor.close()
