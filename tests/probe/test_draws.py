"""Factories, halves of the batch, and what intervals are over."""

from inspect import unwrap

import numpy as np
import pytest
import torch
from tests.architectures import made
from torch import Tensor, nn

import leadline
from leadline._core.errors import UsageError


def factory() -> nn.Module:
    return nn.Sequential(*(m for _ in range(4) for m in (nn.Linear(8, 8), nn.ReLU())), nn.Linear(8, 2))


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(12, 8, generator=generator)


def test_a_factory_is_asked_for_as_many_instances_as_draws(x: Tensor):
    profile = leadline.profile(factory, x, draws=5)
    assert len(profile.draws) == 4
    assert profile.draws_over == profile.rate("grad_norm").over == "draws"
    assert len({draw["0"].weight_norm for draw in (profile, *profile.draws)}) == 5


def test_the_draws_come_from_the_seed(x: Tensor):
    first, same, other = (leadline.profile(factory, x, draws=2, seed=seed) for seed in (0, 0, 9))
    assert first == same
    assert other["0"].weight_norm != first["0"].weight_norm


def test_draws_of_a_factory_that_asks_numpy_differ_and_come_from_the_seed(x: Tensor):
    def drawn() -> nn.Module:
        model = nn.Linear(8, 2)
        nn.init.constant_(model.weight, np.random.rand())
        return model

    first, again = (leadline.profile(drawn, x, draws=3) for _ in range(2))
    assert len({one.weight_norms["weight"] for one in (first, *first.draws)}) == 3
    assert again == first


def test_the_rate_over_draws_is_the_mean_of_their_rates(x: Tensor):
    profile = leadline.profile(factory, x, draws=3)
    alone = [draw.rate("rms").estimate for draw in profile.draws]
    own = leadline.profile(factory, x, draws=1).rate("rms").estimate
    assert profile.rate("rms").estimate == pytest.approx((own + sum(alone)) / 3)


def test_one_draw_is_one_pass(x: Tensor):
    profile = leadline.profile(factory, x, draws=1)
    assert (profile.draws, profile.draws_over) == ((), "")


def test_full_effort_adds_halves_of_the_batch(x: Tensor):
    model, y = made(factory), torch.arange(12) % 2
    profile = leadline.profile(model, x, y, effort="full", draws=3)
    assert [draw.batch for draw in profile.draws] == [6, 6, 6]
    assert (profile.batch, profile.effort, profile.draws_over) == (12, "full", "batches")
    assert len({draw.loss for draw in profile.draws}) == 3
    assert any("3 random halves of the batch" in note for note in profile.notes)
    assert profile.layers == leadline.profile(model, x, y).layers


def test_halves_of_keyword_arguments_stay_together(generator: torch.Generator):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x: Tensor, weight: Tensor, table: Tensor) -> Tensor:
            assert torch.equal(x[:, 0], weight) and len(table) == 3
            return self.layer(x) * weight[:, None]

    x = torch.randn(8, 4, generator=generator)
    profile = leadline.profile(
        made(Masked), {"x": x, "weight": x[:, 0], "table": torch.ones(3)}, effort="full", draws=2
    )
    assert [draw.batch for draw in profile.draws] == [4, 4]


def test_a_batch_too_small_to_halve_is_profiled_once_and_said_so(x: Tensor):
    profile = leadline.profile(made(factory), x[:3], effort="full")
    assert profile.draws == ()
    assert any("3 samples are too few to halve" in note for note in profile.notes)


def test_what_is_no_model_and_no_factory_is_an_error(x: Tensor):
    with pytest.raises(UsageError, match="must return a torch.nn.Module; got int"):
        leadline.profile(lambda: 3, x)  # type: ignore[arg-type, return-value]
    with pytest.raises(UsageError, match="must be a torch.nn.Module or a function that returns one; got str"):
        unwrap(leadline.profile)("resnet18", x)  # past the check of types that tests have
