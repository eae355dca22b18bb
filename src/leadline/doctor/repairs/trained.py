"""Do weights look as an initialiser leaves them?"""

from torch import nn


def signs_of_training(model: nn.Module) -> list[str]:
    """What about the weights no initialiser leaves, in sentences."""
    return []
