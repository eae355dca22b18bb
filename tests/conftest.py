"""Every test: a generator seeded from its own name, and proof that it left the global generators alone."""

import zlib

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def generator(request: pytest.FixtureRequest) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(autouse=True)
def _global_rng_unchanged():
    before_torch, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    yield
    assert torch.equal(before_torch, torch.get_rng_state()), "the test moved torch's global generator"
    assert np.array_equal(before_numpy, np.random.get_state()[1]), "the test moved numpy's global generator"
