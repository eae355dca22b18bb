"""Records survive strict JSON, and a broken file is refused in one sentence."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from leadline._core.diagnosis import DepthLimit, Diagnosis, Finding, Prediction, Remedy
from leadline._core.errors import UsageError
from leadline._core.profile import SCHEMA, LayerProfile, Profile
from leadline._core.rates import Rate
from leadline._core.records import decode, encode, write_text
from leadline._core.sources import Source


def _profile() -> Profile:
    layer = LayerProfile(
        name="blocks.0",
        kind="Block",
        depth=0,
        shape=(8, 4),
        parts=("Linear", "ReLU"),
        metrics={"rms": 2.0, "grad_norm": math.inf},
    )
    return Profile(layers=(layer,), inputs=layer, small_batch_norms={"bn": 2}, draws=(Profile(layers=(layer,)),))


def _diagnosis() -> Diagnosis:
    finding = Finding(
        code="gradient-explosion",
        layer="blocks.0",
        severity="error",
        message="Gradients grow.",
        evidence={"decades_per_layer": math.inf, "layers": ["a", "b"]},
        remedies=(Remedy(text="Use orthogonal weights."),),
        source=Source(key="yang2019", locator="Theorem 3.9"),
    )
    return Diagnosis(
        profile=_profile(),
        findings=(finding,),
        depth_limit=DepthLimit(estimate=math.inf, low=3.0, high=math.inf, mechanism="none"),
        rates={"rms": Rate(estimate=0.1, low=-math.inf, high=0.2, increments=9)},
        predictions=(Prediction(metric="rms", rate=0.0, statement="stays"),),
    )


def test_a_profile_comes_back_equal(tmp_path: Path) -> None:
    assert Profile.load(_profile().save(tmp_path / "p.json")) == _profile()


def test_a_diagnosis_comes_back_equal(tmp_path: Path) -> None:
    assert Diagnosis.load(_diagnosis().save(tmp_path / "d.json")) == _diagnosis()


def test_the_file_is_strict_json_with_words_for_nonfinite_numbers(tmp_path: Path) -> None:
    def refuse(literal: str) -> float:
        raise AssertionError(f"the literal {literal} is not JSON")

    data = json.loads(_profile().save(tmp_path / "p.json").read_text(), parse_constant=refuse)
    assert data["schema"] == SCHEMA
    assert data["layers"][0]["metrics"]["grad_norm"] == "inf"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "holds no valid JSON"),
        ("[]", "has schema None"),
        ('{"schema": 99, "layers": []}', "has schema 99; this version of leadline reads schema 1"),
        ('{"schema": 1, "layers": [], "colour": 1}', "unknown fields colour"),
        ('{"schema": 1}', "not a complete profile"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        Profile.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot read .*No such file"):
        Profile.load(tmp_path / "none.json")


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the folder .* does not exist"):
        write_text("words", tmp_path / "missing" / "report.html")
    with pytest.raises(UsageError, match="it is a folder"):
        write_text("words", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_no_record_is_refused() -> None:
    with pytest.raises(TypeError, match="got object"):
        encode(object())


@dataclass(frozen=True, kw_only=True)
class _Sample:
    value: float
    maybe: float | None = None
    pair: tuple[int, str] = (0, "")
    table: dict[str, tuple[float, ...]] = field(default_factory=dict)


def test_nested_types_come_back_as_annotated() -> None:
    sample = _Sample(value=-math.inf, maybe=2.5, pair=(1, "a"), table={"x": (1.0, math.inf)})
    assert decode(_Sample, json.loads(json.dumps(encode(sample)))) == sample
    assert decode(_Sample, {"value": 1, "maybe": None}).maybe is None
