"""Understanding batch normalization (Bjorck et al. 2018)."""

from leadline.studies.bjorck2018 import (
    channels as channels,
    gradients as gradients,
    noise as noise,
    products as products,
    steps as steps,
    training as training,
)
