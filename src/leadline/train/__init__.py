"""A small harness in plain PyTorch: train a model for some steps, and see whether it learns."""

from leadline.train.fitting import Run as Run, fit as fit
from leadline.train.proof import prove as prove
from leadline.train.task import Task as Task, task as task
