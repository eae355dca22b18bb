"""Activations, plain and shaped, normalisations, and the deep designs that are built of them."""

from leadline.nn.activations import (
    ACTIVATIONS as ACTIVATIONS,
    ActivationName as ActivationName,
    GELUTanh as GELUTanh,
    Sin as Sin,
    activation as activation,
)
from leadline.nn.designs import gpt as gpt, mlp as mlp, resnet as resnet, vgg19 as vgg19, vit as vit
from leadline.nn.normalisation import (
    BatchNorm1d as BatchNorm1d,
    BatchNorm2d as BatchNorm2d,
    FeatureNorm as FeatureNorm,
    FractionalBatchNorm as FractionalBatchNorm,
    FractionalBatchNorm1d as FractionalBatchNorm1d,
    FractionalBatchNorm2d as FractionalBatchNorm2d,
    FractionalBatchNorm3d as FractionalBatchNorm3d,
    alpha_for_depth as alpha_for_depth,
    convert_batch_norm as convert_batch_norm,
    recalibrate as recalibrate,
)
from leadline.nn.norms import feature_norm as feature_norm, map_norm as map_norm
from leadline.nn.shaping import (
    GainedActivation as GainedActivation,
    ShapedActivation as ShapedActivation,
    Split as Split,
    TailoredLeakyReLU as TailoredLeakyReLU,
    gain_schedule as gain_schedule,
    shape as shape,
    split as split,
    tailored_leaky_relu as tailored_leaky_relu,
)
from leadline.nn.stack import DeepStack as DeepStack
from leadline.nn.weights import InitName as InitName, fill as fill
