"""Batch normalization orthogonalizes representations in deep random networks (Daneshmand, Joudaki and Bach 2021)."""

from leadline.studies.daneshmand2021 import (
    beyond as beyond,
    chains as chains,
    one_layer as one_layer,
    training as training,
)
