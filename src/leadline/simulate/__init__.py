"""Random matrices revealed on demand: wide, deep networks exactly in law, without their weights."""

from leadline._core.simulation import Simulation as Simulation
from leadline.simulate.chain import Chain as Chain
from leadline.simulate.gaussian import LazyGaussian as LazyGaussian
from leadline.simulate.haar import LazyHaar as LazyHaar
from leadline.simulate.linear import LazyLinear as LazyLinear
from leadline.simulate.matrix import LazyMatrix as LazyMatrix
from leadline.simulate.orthonormal import orthonormalised as orthonormalised
from leadline.simulate.propagate import propagate as propagate, states as states
from leadline.simulate.semi_orthogonal import LazySemiOrthogonal as LazySemiOrthogonal
from leadline.simulate.training import LazySGD as LazySGD
