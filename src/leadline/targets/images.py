"""Real images for a target: a data set by name, standardised, and the batch in words."""

from leadline._core.errors import UsageError
from leadline.data import Batch, digits, load
from leadline.data.catalogue import data_set, known
from leadline.targets.plan import Wanted, counted, times

# Names of `data` that are images with labels.
IMAGES = known()
# Samples that a batch is taken of: enough to train on for a proof, and 120 MB of CIFAR.
_POOL = 10_000


def images(name: str, wanted: Wanted, *, size: int) -> tuple[Batch, str]:
    """``size`` standardised images of the training part of ``name`` with their labels, and the batch in words.

    Raises:
        UsageError: If the caller wants another input shape, files are missing or damaged, or images too few.
    """
    shape = data_set(name).shape
    if wanted.input_shape not in (None, shape):
        subject = "Digits have" if name == "digits" else f"Images of {name} have"
        raise UsageError(
            f"{subject} shape {times(shape)}; the input shape {times(wanted.input_shape)} needs data=gaussian."
        )
    if name == "digits":
        return digits().take(size, seed=wanted.seed), f"{counted(size, 'digit')} of {times(shape)}"
    whole = load(name, limit=_POOL, seed=wanted.seed, standardise=True)
    return whole.take(size, seed=wanted.seed), f"{counted(size, 'image')} of {name}, {times(shape)}"
