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
