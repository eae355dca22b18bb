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
from leadline.theory.batch_norm_signal import (
    BatchNormFixedPoint as BatchNormFixedPoint,
    batch_norm_fixed_point as batch_norm_fixed_point,
)
from leadline.theory.correlation import CorrelationMap as CorrelationMap, correlation_map as correlation_map
from leadline.theory.depth_limit import DepthBound as DepthBound, depth_limit as depth_limit
from leadline.theory.fractional import (
    FractionalLaw as FractionalLaw,
    fractional_gradient_applies as fractional_gradient_applies,
    fractional_gradient_rate as fractional_gradient_rate,
    fractional_law as fractional_law,
)
from leadline.theory.gains import gain as gain, gradient_gain as gradient_gain, weight_variance as weight_variance
from leadline.theory.gaussian import Moments as Moments, expectation as expectation, moments as moments
from leadline.theory.gradient_noise import (
    random_sign_cancellation as random_sign_cancellation,
    step_noise as step_noise,
)
from leadline.theory.gram_law import (
    gram_degrees_of_freedom as gram_degrees_of_freedom,
    isometry_gap_plateau as isometry_gap_plateau,
    orthogonality_plateau as orthogonality_plateau,
    surviving_samples as surviving_samples,
)
from leadline.theory.isometry import (
    isometry_applies as isometry_applies,
    isometry_factor_bound as isometry_factor_bound,
    isometry_gain as isometry_gain,
    isometry_gain_bound as isometry_gain_bound,
    isometry_gap_bound as isometry_gap_bound,
    isometry_gap_drift as isometry_gap_drift,
    isometry_gap_drift_bound as isometry_gap_drift_bound,
    isometry_gap_layers as isometry_gap_layers,
    isometry_gap_rate as isometry_gap_rate,
    spectrum_gap as spectrum_gap,
)
from leadline.theory.isometry_gradients import (
    extreme_eigenvalues as extreme_eigenvalues,
    gradient_at_isometry as gradient_at_isometry,
    gradient_certificate as gradient_certificate,
    gradient_floor as gradient_floor,
    gradient_growth_bound as gradient_growth_bound,
    preserved_gradient as preserved_gradient,
)
from leadline.theory.mean_field import (
    c_map as c_map,
    chi_1 as chi_1,
    depth_scale as depth_scale,
    edge_of_chaos as edge_of_chaos,
    fixed_point as fixed_point,
    length_depth_scale as length_depth_scale,
    q_map as q_map,
)
from leadline.theory.orthogonality import (
    deficit_average_bound as deficit_average_bound,
    deficit_step_bound as deficit_step_bound,
    expected_deficit_bound as expected_deficit_bound,
    gaussian_coupling_cost as gaussian_coupling_cost,
    gaussian_distance_bound as gaussian_distance_bound,
    orthogonality_gap_bound as orthogonality_gap_bound,
    orthogonality_gap_from_deficit as orthogonality_gap_from_deficit,
)
from leadline.theory.orthogonality_step import (
    expected_spectrum as expected_spectrum,
    orthogonality_applies as orthogonality_applies,
    orthogonality_contraction as orthogonality_contraction,
    sampling_noise as sampling_noise,
    smallest_deficit as smallest_deficit,
    spectrum_orthogonality_gap as spectrum_orthogonality_gap,
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
from leadline.theory.residual import (
    pre_norm_growth as pre_norm_growth,
    pre_norm_rates as pre_norm_rates,
    residual_growth as residual_growth,
)
from leadline.theory.singular_values import (
    product_distribution as product_distribution,
    product_log_condition as product_log_condition,
    product_quantile as product_quantile,
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
)
from leadline.theory.vanilla_collapse import collapse_rate as collapse_rate
from leadline.theory.weingarten import haar_moment as haar_moment
