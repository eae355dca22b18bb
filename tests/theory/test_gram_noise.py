"""What a layer of Haar weights adds at isometry, against hypergeometric functions in fifty digits."""

import math

import mpmath
import pytest
from mpmath import mpf

from leadline.theory import fractional_law, gram_degrees_of_freedom, isometry_gap_plateau, orthogonality_plateau
from leadline.theory.gram_noise import haar_layer

HALF = mpf(1) / 2


def _moment(a: mpf, b: mpf, power: mpf) -> mpf:
    return mpmath.rf(a, power) / mpmath.rf(a + b, power)


def _series(upper: list[mpf], lower: list[mpf]) -> mpf:
    """A hypergeometric function at 1, term by term."""
    total = term = mpf(1)
    k = 0
    while abs(term) > mpf(10) ** -35 * abs(total):
        for a in upper:
            term *= a + k
        for b in lower:
            term /= b + k
        k += 1
        term /= k
        total += term
    return total


def _averages(n: mpf, d: mpf, alpha: mpf) -> tuple[mpf, mpf]:
    """Over the squared length t of one column, of t^(1 - alpha) times what a second has in all, and along the first."""
    whole = _moment(n / 2, (d - n) / 2, 1 - alpha)
    whole *= _series([alpha - 1, HALF, n / 2 + 1 - alpha], [n / 2, d / 2 + 1 - alpha])
    along = (d - n) / d * _moment(n / 2, (d - n) / 2 + 1, 1 - alpha)
    along *= _series([alpha, 3 * HALF, n / 2 + 1 - alpha], [n / 2 + 1, d / 2 + 2 - alpha])
    return whole, along


def _noise(n: int, d: int, alpha: float) -> float:
    with mpmath.workdps(50):
        rows, width, exponent = mpf(n), mpf(d), mpf(alpha)
        whole, along = _averages(rows, width, exponent)
        own = width * _moment(rows / 2, (width - rows) / 2, 2 - 2 * exponent)
        pairs = width * (width - 1) * _moment(rows / 2, (width - rows - 1) / 2, 1 - exponent)
        return float((own * (1 - 1 / rows) + pairs * (along - whole) / rows) / (own + pairs * whole))


@pytest.mark.parametrize("alpha", [1.0, 0.9, 0.5, 0.3, 0.1, 0.03])
@pytest.mark.parametrize(
    ("n", "d"),
    [(100, 101), (101, 103), (198, 210), (199, 200), (199, 210), (200, 210), (999, 1000), (1000, 10**6), (1001, 10**6),
     (499_999, 10**6), (999_998, 10**6), (999_999, 10**6)],
)  # fmt: skip
def test_no_digit_is_lost_between_many_samples(n, d, alpha):
    assert haar_layer(n, d, alpha)[0] == pytest.approx(_noise(n, d, alpha), rel=1e-10)


@pytest.mark.parametrize(
    ("n", "d", "alpha", "noise"),
    [
        (2, 3, 1.0, 0.0379018796267031),
        (2, 3, 0.5, 0.0068282578489366),
        (2, 9, 0.5, 0.00607690808981918),
        (3, 4, 0.9, 0.0172268077750467),
        (4, 5, 0.1, 8.65745364970724e-5),
        (5, 30, 0.5, 0.00168426489705936),
    ],
)
def test_few_features_are_as_exact(n, d, alpha, noise):
    """The same series, which converge slowly there, summed in 60 digits beforehand."""
    assert haar_layer(n, d, alpha)[0] == pytest.approx(noise, rel=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 0.9, 0.5, 0.03])
@pytest.mark.parametrize(("n", "d"), [(2, 200), (2, 10**6), (3, 10**6), (7, 10**6), (11, 10**4)])
def test_few_samples_of_many_features_are_as_exact(n, d, alpha):
    assert haar_layer(n, d, alpha)[0] == pytest.approx(_noise(n, d, alpha), rel=1e-10)


def test_plateaus_of_odd_numbers_of_samples_lie_between_those_of_even_ones():
    for plateau in (orthogonality_plateau, isometry_gap_plateau):
        values = [plateau(n=n, d=210, weights="haar") for n in range(195, 206)]
        assert values == sorted(values, reverse=True)
    assert gram_degrees_of_freedom(n=199, d=200, weights="haar") == pytest.approx(40005.0981, rel=1e-8)
    assert orthogonality_plateau(n=199, d=210, weights="haar") == pytest.approx(0.0154, rel=0.03)  # of dense runs
    assert math.isfinite(fractional_law(15.0, depth=900, n=256, d=300).gap)


@pytest.mark.parametrize(("n", "d", "alpha"), [(999_999, 10**6, 0.03), (2, 10**6, 0.1), (999, 1000, 1.0)])
def test_small_plateaus_keep_their_digits(n, d, alpha):
    nu = mpf(gram_degrees_of_freedom(n=n, d=d, alpha=alpha, weights="haar"))
    expected = mpmath.sqrt((nu + n + 1) / (n * nu + 2) - 1 / mpf(n))
    assert orthogonality_plateau(n=n, d=d, alpha=alpha, weights="haar") == pytest.approx(float(expected), rel=1e-13)
