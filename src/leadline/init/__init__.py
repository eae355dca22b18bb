"""Initialisers: each fills the weights of a module or tensor in place, from a generator."""

from leadline.init.gains import gain as gain
from leadline.init.gaussian import gaussian as gaussian, he as he, xavier as xavier
from leadline.init.haar import haar as haar, haar_matrices as haar_matrices
from leadline.init.one_sided import one_sided as one_sided
from leadline.init.operator import (
    operator_range as operator_range,
    operator_singular_values as operator_singular_values,
)
from leadline.init.orthogonal import (
    delta_orthogonal as delta_orthogonal,
    isometry_obstacle as isometry_obstacle,
    orthogonal as orthogonal,
)
from leadline.init.orthogonalise import Orthogonalised as Orthogonalised, orthogonalise as orthogonalise
from leadline.init.rank import Ranked as Ranked, maximise_rank as maximise_rank
from leadline.init.unit_variance import Scaled as Scaled, lsuv as lsuv
