"""Activations and norms by name, and the deep designs that are built of them."""

from leadline.nn.activations import (
    ACTIVATIONS as ACTIVATIONS,
    ActivationName as ActivationName,
    GELUTanh as GELUTanh,
    Sin as Sin,
    activation as activation,
)
from leadline.nn.designs import gpt as gpt, mlp as mlp, resnet as resnet, vgg19 as vgg19, vit as vit
from leadline.nn.norms import feature_norm as feature_norm, map_norm as map_norm
from leadline.nn.weights import InitName as InitName, fill as fill
