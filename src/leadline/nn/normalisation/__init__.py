"""Batch normalisation with its choices open, fractional batch normalisation, and running moments measured anew."""

from leadline.nn.normalisation.batch_norm import (
    BatchNorm1d as BatchNorm1d,
    BatchNorm2d as BatchNorm2d,
    FeatureNorm as FeatureNorm,
)
from leadline.nn.normalisation.convert import convert_batch_norm as convert_batch_norm
from leadline.nn.normalisation.fractional import (
    FractionalBatchNorm as FractionalBatchNorm,
    FractionalBatchNorm1d as FractionalBatchNorm1d,
    FractionalBatchNorm2d as FractionalBatchNorm2d,
    FractionalBatchNorm3d as FractionalBatchNorm3d,
    alpha_for_depth as alpha_for_depth,
)
from leadline.nn.normalisation.recalibration import recalibrate as recalibrate
