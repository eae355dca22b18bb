"""What to measure, from a word: built-in designs, timm, transformers, or a function of the user's."""

from leadline.targets.built_in import Design as Design, designs as designs
from leadline.targets.loading import Target as Target, load as load
from leadline.targets.options import Option as Option
from leadline.targets.variants import variants as variants
