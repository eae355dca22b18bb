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


def test_the_generator_is_put_back_also_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(5):
        torch.rand(3)
        1 / 0  # noqa: B018
    assert torch.equal(before, torch.get_rng_state())


def test_seeded_blocks_nest():
    with seeded(1):
        first, second = torch.rand(1), torch.rand(1)
    with seeded(1):
        assert torch.equal(first, torch.rand(1))
        with seeded(2):
            torch.rand(7)
        assert torch.equal(second, torch.rand(1))
