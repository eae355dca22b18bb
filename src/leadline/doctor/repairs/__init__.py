"""From findings to a repaired model: recipes, each a small file, and the record of what they did."""

from leadline._core.repair import Attempt as Attempt, Repair as Repair, Step as Step
from leadline.doctor.repairs import actions as actions, swaps as swaps  # enter what the steps of a record do
from leadline.doctor.repairs._repair import Repaired as Repaired, repair as repair
from leadline.doctor.repairs.recipes import RECIPES as RECIPES
