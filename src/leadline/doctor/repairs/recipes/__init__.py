"""The recipes by name, in the order in which they are tried."""

from leadline.doctor.repairs.recipe import Recipe
from leadline.doctor.repairs.recipes.orthogonal import ORTHOGONAL
from leadline.doctor.repairs.recipes.straighten import STRAIGHTEN
from leadline.doctor.repairs.recipes.unit_variance import UNIT_VARIANCE

RECIPES: dict[str, Recipe] = {each.name: each for each in (ORTHOGONAL, UNIT_VARIANCE, STRAIGHTEN)}
