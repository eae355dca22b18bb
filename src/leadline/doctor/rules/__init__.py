"""One module per family of rules; importing them registers the rules."""

from leadline.doctor.rules import (
    activations as activations,
    batch as batch,
    collapse as collapse,
    gradients as gradients,
    numbers as numbers,
    score as score,
    units as units,
    weights as weights,
    wiring as wiring,
)
