from typing import Literal

import pytest

from leadline._core.errors import UsageError
from leadline.targets.options import Option, guessed, options_of, read, split


def build(size: int, *, depth: int = 3, gain: float = 1.0, norm: Literal["none", "batch"] = "none", seed: int = 0):
    return size, depth, gain, norm, seed


OPTIONS = options_of(build, hidden={"seed"})


def test_options_are_the_keywords_of_the_builder():
    assert (
        Option(name="depth", kind="int", default=3),
        Option(name="gain", kind="float", default=1.0),
        Option(name="norm", kind="str", default="none", choices=("none", "batch")),
    ) == OPTIONS


def test_an_option_prints_its_default_and_choices():
    assert str(OPTIONS[2]) == "norm=none (none, batch)"


def test_an_option_that_the_builder_chooses_is_none_until_it_is_given():
    def chosen(*, alpha: float | None = None): ...

    (option,) = made = options_of(chosen, hidden=())
    assert (option.kind, option.default, str(option)) == ("float", None, "alpha")
    assert read(made, {}, whose="net") == {"alpha": None}
    assert read(made, {"alpha": "0.5"}, whose="net") == {"alpha": 0.5}
    with pytest.raises(UsageError, match="alpha must be a finite number; got 'None'"):
        read(made, {"alpha": "None"}, whose="net")
    with pytest.raises(UsageError, match="depth must be a whole number; got None"):
        read(OPTIONS, {"depth": None}, whose="net")


def test_words_become_values_and_the_rest_keeps_its_default():
    assert read(OPTIONS, {"depth": "7", "gain": "1e-1"}, whose="net") == {"depth": 7, "gain": 0.1, "norm": "none"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dept": "7"}, r"net has no option 'dept' \(did you mean 'depth'\?\); it has depth, gain, norm\."),
        ({"depth": "7.5"}, r"net option depth must be a whole number; got '7\.5'\."),
        ({"depth": 7.5}, r"net option depth must be a whole number; got 7\.5\."),
        ({"depth": True}, r"net option depth must be a whole number; got True\."),
        ({"gain": "big"}, r"net option gain must be a finite number; got 'big'\."),
        ({"gain": "inf"}, r"net option gain must be a finite number; got 'inf'\."),
        ({"norm": "bach"}, r"net option norm must be one of none, batch; got 'bach' \(did you mean 'batch'\?\)\."),
    ],
)
def test_a_wrong_option_is_named_with_what_is_right(given, message):
    with pytest.raises(UsageError, match=message):
        read(OPTIONS, given, whose="net")


def test_truths_are_read_in_words():
    option = [Option(name="bias", kind="bool", default=True)]
    assert [read(option, {"bias": word}, whose="net")["bias"] for word in ("true", "No", "1")] == [True, False, True]
    with pytest.raises(UsageError, match="bias must be true or false; got 'maybe'"):
        read(option, {"bias": "maybe"}, whose="net")


def test_a_long_list_of_options_is_cut():
    many = [Option(name=f"option{i}", kind="int", default=0) for i in range(30)]
    with pytest.raises(UsageError, match=r"option11, …\.$"):
        read(many, {"x": 1}, whose="net")


def test_commas_in_brackets_stay():
    assert split("a=[1,(2,3)],b={4,5}") == {"a": "[1,(2,3)]", "b": "{4,5}"}


@pytest.mark.parametrize(
    ("word", "value"), [("3", 3), ("1e-3", 1e-3), ("none", "none"), ("None", None), ("False", False)]
)
def test_words_without_a_kind_are_read_as_python(word, value):
    assert guessed(word) == value
