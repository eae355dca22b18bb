import math

import pytest
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.profile import LayerProfile, Profile
from leadline._core.repair import Attempt, Curve, Proof, Repair, Step


def _repair(**changes) -> Repair:
    profile = Profile(layers=(LayerProfile(name="fc", kind="Linear", depth=0, metrics={"rms": 2.0}),), model="Net")
    step = Step(action="scale", layer="fc", text="fc: times 2.", data={"parameter": "fc.weight", "factor": 2.0})
    values = {
        "model": "Net",
        "asked": "auto",
        "recipe": "unit-variance",
        "outcome": "repaired",
        "before": profile,
        "after": profile,
        "steps": (step,),
        "attempts": (Attempt(recipe="", findings=("error: rank-collapse",), trainable=float("nan")),),
        "function_change": float("inf"),
        "proof": Proof(
            rule="Adam", curves=(Curve(model="after", learning_rate=1e-3, losses=(2.3, 0.1)),), learnt_before=False,
            learnt_after=True,
        ),
    }  # fmt: skip
    return Repair(**(values | changes))


def test_a_repair_comes_back_as_it_was_saved(tmp_path):
    saved = _repair()
    loaded = Repair.load(saved.save(tmp_path / "repair.json"))
    assert str(loaded) == str(saved)
    assert loaded.steps == saved.steps and loaded.proof == saved.proof and loaded.before == saved.before
    assert loaded.function_change == float("inf")


def test_only_steps_that_swap_make_it_another_architecture():
    assert not _repair().swaps
    assert _repair(steps=(Step(action="insert", layer="fc", text="", swaps=True),)).swaps


def test_a_loaded_repair_cannot_be_undone():
    with pytest.raises(UsageError, match="holds no old weights"):
        _repair().undo()


def test_an_unknown_step_is_refused_by_name():
    repair = _repair(steps=(Step(action="pray", layer="", text=""),))
    with pytest.raises(UsageError, match="'pray'"):
        repair.apply(nn.Identity())


def test_words_say_what_was_done_and_what_changed():
    cured = _repair(function_change=0.5, reasons=("error: rank-collapse",))
    assert str(cured).splitlines() == [
        "Net: the findings are gone (unit-variance)",
        "  fc: times 2.",
        "  The outputs on the batch changed by 50 % of their norm: it is another function.",
    ]


def test_where_nothing_was_found_no_finding_is_said_to_be_gone():
    asked = str(_repair(asked="unit-variance", reasons=()))
    assert asked.startswith("Net: changed as asked: nothing was found before, and nothing is now (unit-variance)")


def test_a_change_that_cannot_be_told_is_not_said_in_numbers():
    assert "cannot be told: some are not finite" in str(_repair(function_change=math.nan))
