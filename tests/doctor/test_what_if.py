"""What if: the ranking agrees with what the changed networks show, and with theory where it is sure."""

import math

import pytest

from leadline._core.errors import UsageError
from leadline.doctor import what_if
from leadline.targets import load, variants


def asked(target: str, *, batches=(), **how):
    now, choices = variants(target)
    plain = load(target)
    others = {size: (load(target, batch=size).inputs, load(target, batch=size).targets) for size in batches}
    wanted = {name: choices[name] for name in how.pop("over", choices)}
    return what_if(plain.build, plain.inputs, plain.targets, now=now, choices=wanted, batches=others, **how)


@pytest.mark.slow
def test_of_a_hundred_default_layers_the_weights_are_what_to_change():
    found = asked("mlp:depth=100", depths=(10, 100), over=("norm", "init", "gain", "skip"))
    assert found.now.limit.estimate < 20
    first = found.alternatives[0]
    assert first.limit.estimate > 100
    assert first.measured[10] > 0.9 and first.measured[100] > 0.5 and not first.errors[100]
    assert first.predicted[100] == pytest.approx(first.measured[100], abs=0.3)


def test_the_deepest_come_first_and_only_they_are_measured():
    found = asked("mlp:depth=30,width=32,norm=batch", depths=(40,), over=("skip", "norm"), best=1)
    limits = [each.limit.estimate for each in found.alternatives]
    assert limits == sorted(limits, reverse=True)
    assert [bool(each.measured) for each in found.alternatives] == [True] + [False] * (len(limits) - 1)
    assert found.alternatives[0].changes["skip"] == 1.0
    assert str(found.now) == "as it is" and "skip=1.0" in str(found)


def test_the_gain_is_theorys_for_the_law_and_the_activation():
    found = asked("mlp:depth=30,width=32,activation=tanh", depths=(10,), over=("gain", "init"), best=0)
    gains = {each.changes.get("init", "default"): each.changes.get("gain") for each in found.alternatives}
    kept = 1 / math.sqrt(0.394294)  # E tanh(z)^2
    assert gains["default"] == pytest.approx(kept * math.sqrt(3), rel=1e-3)
    fitted = [each.changes for each in found.alternatives if each.changes.get("init") == "orthogonal"]
    assert {"init": "orthogonal", "gain": pytest.approx(kept, rel=1e-3)} in fitted


def test_other_batches_are_tried_where_a_batch_is_normalised_over():
    with_norm = asked("mlp:depth=30,width=32,norm=batch", depths=(10,), over=("skip",), batches=(16, 256), best=0)
    assert {"batch": 256} in [each.changes for each in with_norm.alternatives]
    without = asked("mlp:depth=30,width=32", depths=(10,), over=("skip",), batches=(16, 256), best=0)
    assert not any("batch" in each.changes for each in without.alternatives)


def test_depths_are_whole_numbers_from_one_on():
    with pytest.raises(UsageError, match="from 1 on"):
        asked("mlp", depths=(0, 10), over=("skip",))


def test_only_designs_with_something_to_change_have_variants():
    with pytest.raises(UsageError, match="no option that could be changed"):
        variants("gpt:depth=2")
    with pytest.raises(UsageError, match="no built-in design"):
        variants("model.py:build")
    now, choices = variants("resnet20:norm=none")
    assert now["norm"] == "none" and "group" in choices["norm"] and "skip" not in choices
