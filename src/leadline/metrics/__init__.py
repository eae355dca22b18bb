"""Numbers of representations, of gradients, and of models, in pure torch.

A representation is ``(n, d)``: rows are samples. Leading axes are batches, so that all layers of one shape are one
call. Numbers of representations are computed in float64 and returned in the dtype of the representation; bad numbers
give ``nan`` or ``inf``, wrong calls raise ``UsageError``; nothing handed in is changed. Except for the counts they can
be differentiated; where a number is infinite, or jumps as the ranks do at the zero matrix, its gradient is zero.
"""

from leadline.metrics.contributions import (
    cancellation as cancellation,
    contribution_size as contribution_size,
)
from leadline.metrics.descent import relative_loss as relative_loss
from leadline.metrics.isometry import (
    condition_number as condition_number,
    isometry_gap as isometry_gap,
    orthogonality_gap as orthogonality_gap,
)
from leadline.metrics.jacobian import jacobian_singular_values as jacobian_singular_values
from leadline.metrics.largest_step import LargestStep as LargestStep, largest_step as largest_step
from leadline.metrics.likeness import (
    distinction as distinction,
    mean_abs_cosine as mean_abs_cosine,
    mean_cosine as mean_cosine,
    mean_square_cosine as mean_square_cosine,
    zero_rows as zero_rows,
)
from leadline.metrics.noise import gradient_noise as gradient_noise
from leadline.metrics.ranks import (
    effective_rank as effective_rank,
    numerical_rank as numerical_rank,
    participation_ratio as participation_ratio,
    soft_rank as soft_rank,
    stable_rank as stable_rank,
)
from leadline.metrics.weights import weight_spectra as weight_spectra
