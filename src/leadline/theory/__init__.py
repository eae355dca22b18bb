"""What mathematics says of deep networks at initialisation; NumPy and SciPy only, never torch."""

from leadline.theory.activations import (
    ACTIVATIONS as ACTIVATIONS,
    TORCH_NAMES as TORCH_NAMES,
    Activation as Activation,
    activation as activation,
    leaky_relu as leaky_relu,
)
from leadline.theory.batch_norm import (
    batch_norm_gradient_rate as batch_norm_gradient_rate,
    orthogonal_identity_rate as orthogonal_identity_rate,
)
from leadline.theory.gains import gain as gain, gradient_gain as gradient_gain, weight_variance as weight_variance
from leadline.theory.gaussian import Moments as Moments, expectation as expectation, moments as moments
from leadline.theory.mean_field import (
    c_map as c_map,
    chi_1 as chi_1,
    depth_scale as depth_scale,
    edge_of_chaos as edge_of_chaos,
    fixed_point as fixed_point,
    q_map as q_map,
)
from leadline.theory.products import (
    log_norm_deviation as log_norm_deviation,
    log_norm_drift as log_norm_drift,
    lyapunov_exponents as lyapunov_exponents,
    product_density as product_density,
    product_edge as product_edge,
)
from leadline.theory.rates import (
    LayerRates as LayerRates,
    layer_norm_rates as layer_norm_rates,
    plain_rates as plain_rates,
    residual_rates as residual_rates,
)
from leadline.theory.soft_rank import (
    delocalisation as delocalisation,
    soft_rank_bound as soft_rank_bound,
    squared_norm_drift as squared_norm_drift,
    stationary_rank_bound as stationary_rank_bound,
)
from leadline.theory.stationary_spectrum import (
    batch_norm_rank as batch_norm_rank,
    batch_norm_soft_rank as batch_norm_soft_rank,
    batch_norm_spectrum as batch_norm_spectrum,
    batch_norm_spectrum_density as batch_norm_spectrum_density,
    surviving_samples as surviving_samples,
)
from leadline.theory.vanilla_collapse import collapse_rate as collapse_rate
