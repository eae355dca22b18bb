"""A small harness in plain PyTorch to see whether a model learns, and monitors that watch a training of yours."""

import importlib
from typing import TYPE_CHECKING, Any

from leadline.train.batches import shuffled as shuffled
from leadline.train.checkpoints import Checkpoint as Checkpoint
from leadline.train.evaluation import Evaluation as Evaluation, evaluate as evaluate
from leadline.train.fitting import Run as Run, fit as fit
from leadline.train.proof import prove as prove
from leadline.train.task import Task as Task, task as task

if TYPE_CHECKING:
    from leadline.train.monitoring.lightning import LightningMonitor as LightningMonitor
    from leadline.train.monitoring.monitor import Monitor as Monitor
    from leadline.train.monitoring.reading import Reading as Reading
    from leadline.train.monitoring.trainer import TrainerMonitor as TrainerMonitor

# Loaded on first use: two of them need a framework that may not be installed.
_HOMES = {
    "Monitor": "leadline.train.monitoring.monitor",
    "Reading": "leadline.train.monitoring.reading",
    "LightningMonitor": "leadline.train.monitoring.lightning",
    "TrainerMonitor": "leadline.train.monitoring.trainer",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'leadline.train' has no attribute {name!r}")
