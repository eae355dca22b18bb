"""Loops give compiled what they give in Python, non-finite numbers included."""

import numpy as np
import pytest

from leadline._core.compiled import Loop, can_compile

pytest.importorskip("numba")


@Loop
def shares(x, total):
    found = np.zeros(x.shape[1])
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            found[j] += x[i, j] / total
    return found


@pytest.mark.parametrize("total", [2.0, 0.0, np.inf, np.nan])
def test_a_compiled_loop_is_the_loop(total):
    x = np.array([[1.0, -2.0, 0.0, np.nan], [3.0, 4.0, 0.0, np.inf]])
    with np.errstate(all="ignore"):
        expected = shares.python(x, np.float64(total))
    assert can_compile()
    np.testing.assert_array_equal(shares.compiled(x, total), expected)


def test_what_cannot_be_kept_on_disk_is_compiled_all_the_same():
    scope: dict[str, object] = {}
    exec("def twice(x):\n    return 2 * x", scope)  # of no file
    assert Loop(scope["twice"]).compiled(21) == 42
