import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from leadline._core.randomness import kept_rng, seeded


def test_a_seed_gives_what_manual_seed_gives():
    with seeded(5):
        ours = torch.rand(3)
    with kept_rng():
        torch.manual_seed(5)
        theirs = torch.rand(3)
    assert torch.equal(ours, theirs)


def drawn() -> tuple[float, float, float]:
    return torch.rand(()).item(), np.random.rand(), random.random()


@pytest.mark.parametrize("kept", [kept_rng, lambda: seeded(3)])
def test_every_global_generator_is_put_back_also_after_an_error(kept: Callable[[], Any]):
    # Python's own is compared here, around nothing else: the run-time check of annotations draws from it.
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with pytest.raises(ZeroDivisionError), kept():
        drawn()
        1 / 0  # noqa: B018
    after = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    assert torch.equal(before[0], after[0]) and np.array_equal(before[1], after[1]) and before[2] == after[2]


def test_every_global_generator_starts_from_the_seed():
    with seeded(2**40):
        first = drawn()
    with seeded(2**40):
        again = drawn()
    with seeded(1):
        other = drawn()
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_seeded_blocks_nest():
    with seeded(1):
        first, second = torch.rand(1), torch.rand(1)
    with seeded(1):
        assert torch.equal(first, torch.rand(1))
        with seeded(2):
            torch.rand(7)
        assert torch.equal(second, torch.rand(1))
