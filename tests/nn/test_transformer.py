import pytest
import torch

from leadline._core.errors import MissingExtraError, UsageError
from leadline.data import gaussian, token_ids
from leadline.nn import gpt, vit


def test_vit_classifies_images_of_its_size():
    net = vit(1, 8, 10, depth=2, width=16)
    assert net(gaussian(3, (1, 8, 8), seed=0).inputs).logits.shape == (3, 10)


def test_gpt_gives_logits_for_every_position():
    net = gpt(50, 12, depth=2, width=16)
    assert net(token_ids(3, 12, 50, seed=0).inputs).logits.shape == (3, 12, 50)


@pytest.mark.parametrize(("build", "shape"), [(vit, (1, 8, 10)), (gpt, (50, 12))])
def test_the_seed_alone_decides_the_weights(build, shape):
    a, b, c = (build(*shape, depth=1, width=16, seed=s) for s in (3, 3, 4))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert any(not torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


@pytest.mark.parametrize(("build", "shape"), [(vit, (1, 8, 10)), (gpt, (50, 12))])
def test_two_passes_in_train_mode_agree(build, shape):
    net = build(*shape, depth=2, width=16)
    x = gaussian(3, (1, 8, 8), seed=0).inputs if build is vit else token_ids(3, 12, 50, seed=0).inputs
    assert net.training
    assert torch.equal(net(x).logits, net(x).logits)


def test_heads_must_divide_the_width():
    with pytest.raises(UsageError, match=r"heads must divide width; got heads=3 and width=16\."):
        gpt(50, 12, width=16, heads=3)


def test_patches_must_tile_the_image():
    with pytest.raises(UsageError, match=r"patch must divide size; got patch=3 and size=8\."):
        vit(1, 8, 10, patch=3)


def test_without_transformers_the_extra_is_named(monkeypatch):
    import importlib

    real = importlib.import_module

    def missing(name, package=None):
        if name == "transformers":
            raise ModuleNotFoundError("No module named 'transformers'", name="transformers")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'leadline\[hf\]'"):
        gpt(50, 12)
