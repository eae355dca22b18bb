import pytest
from tests.architectures import ARCHITECTURES, build
from tests.doctor.models import HEALTHY, ResNet18, images

import leadline

# Those that take most of the time.
LARGE = {"orthogonal linear net of 200", "CIFAR ResNet-56", "pre-norm GPT of 12"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in HEALTHY]
)
def test_a_healthy_network_has_no_error(name):
    model, inputs, targets = HEALTHY[name]()
    diagnosis = leadline.diagnose(leadline.profile(model, inputs, targets))
    assert [str(f.message) for f in diagnosis.findings if f.severity == "error"] == []


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["blocks", "leaves"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_at_its_usual_start_has_no_error(name, layers):
    model, inputs, targets = build(name)
    diagnosis = leadline.diagnose(leadline.profile(model, inputs, targets, layers=layers))
    assert [f.message for f in diagnosis.findings if f.severity == "error"] == []


def test_draws_of_healthy_weights_have_no_error():
    x, y = images(16, 32)
    profile = leadline.profile(ResNet18, x, y, draws=3)
    diagnosis = leadline.diagnose(profile)
    assert diagnosis.rates["rms"].over == "draws"
    assert diagnosis.healthy


@pytest.mark.parametrize("name", ["zero head with a prior", "zero maps beside a frozen network", "from a constant"])
def test_what_starts_at_zero_or_constant_on_purpose_scores_like_what_trains(name):
    assert leadline.diagnose(leadline.profile(*HEALTHY[name]())).trainable > 0.7
