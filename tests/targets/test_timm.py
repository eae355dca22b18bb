import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from leadline._core.errors import MissingExtraError, UsageError
from leadline.targets import load


@pytest.fixture
def timm(monkeypatch):
    """A stand-in with the four names of timm that are used; the real one needs a torchvision of the same build."""

    def create_model(name, *, pretrained, num_classes=1000):
        net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))
        net.pretrained_cfg, net.num_classes, net.pretrained = {"input_size": (3, 48, 48)}, num_classes, pretrained
        return net

    module = ModuleType("timm")
    names = ["resnet18", "resnet50"]
    module.create_model, module.list_models, module.is_model = create_model, lambda: names, names.__contains__
    monkeypatch.setitem(sys.modules, "timm", module)


@pytest.mark.usefixtures("timm")
def test_a_model_comes_with_random_weights_and_images_of_its_size():
    made = load("timm:resnet18,num_classes=7", batch=2)
    assert made.model.pretrained is False
    assert made.inputs.shape == (2, 3, 48, 48)
    assert made.model(made.inputs).shape == (2, 7)
    assert made.description == "timm:resnet18,num_classes=7 on 2 Gaussian samples of 3×48×48, seed 0"


@pytest.mark.usefixtures("timm")
def test_the_seed_decides_the_weights():
    made = load("timm:resnet18", batch=1)
    assert torch.equal(made.build(0)[2].weight, made.model[2].weight)
    assert not torch.equal(made.build(1)[2].weight, made.model[2].weight)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("timm:resnet19", {}, r"timm has no model 'resnet19'; did you mean 'timm:resnet18'\?"),
        ("timm:resnet18,classes=3", {}, r"timm:resnet18 raised TypeError: .*unexpected keyword argument 'classes'"),
        ("timm:resnet18", {"data": "digits"}, "data for timm:resnet18 must be one of gaussian; got 'digits'"),
    ],
)
def test_a_wrong_call_is_told_in_a_sentence(target, options, message):
    with pytest.raises(UsageError, match=message):
        load(target, **options)


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match="timm"):
        load("timm:resnet18")
