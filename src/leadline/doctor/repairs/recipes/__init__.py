"""The recipes by name: first those that only change numbers, then those that swap modules."""

from leadline.doctor.repairs.recipe import Recipe
from leadline.doctor.repairs.recipes.fractional_norm import FRACTIONAL_NORM
from leadline.doctor.repairs.recipes.maximise_rank import MAXIMISE_RANK
from leadline.doctor.repairs.recipes.normalise import NORMALISE
from leadline.doctor.repairs.recipes.orthogonal import ORTHOGONAL
from leadline.doctor.repairs.recipes.orthogonalise import ORTHOGONALISE
from leadline.doctor.repairs.recipes.scale_residual import SCALE_RESIDUAL
from leadline.doctor.repairs.recipes.shape import SHAPE
from leadline.doctor.repairs.recipes.straighten import STRAIGHTEN
from leadline.doctor.repairs.recipes.unit_variance import UNIT_VARIANCE

NUMBERS = (ORTHOGONAL, UNIT_VARIANCE, STRAIGHTEN, SCALE_RESIDUAL, ORTHOGONALISE, MAXIMISE_RANK)
SWAPS = (SHAPE, NORMALISE, FRACTIONAL_NORM)
RECIPES: dict[str, Recipe] = {each.name: each for each in (*NUMBERS, *SWAPS)}
