"""Advice and sources fit the network that they are given for."""

from dataclasses import replace
from itertools import product

import pytest
from tests.doctor.faults import diagnosed
from tests.doctor.models import conv_resnet, plain_mlp, stacked
from tests.doctor.synthetic import chain
from torch import nn

from leadline._core.diagnosis import CODES, Diagnosis, Finding
from leadline.doctor.remedies import Parts, remedies_for


def advice(diagnosis: Diagnosis, code: str) -> str:
    (finding,) = [f for f in diagnosis.findings if f.code == code]
    return " ".join(remedy.text for remedy in finding.remedies)


def test_only_a_network_that_saturates_is_told_to_replace_such_activations():
    assert "saturate" in advice(diagnosed(stacked(30, nn.Sigmoid)), "gradient-vanishing")
    assert "saturate" not in advice(diagnosed(stacked(40, nn.ReLU)), "gradient-vanishing")


def test_a_residual_network_without_norm_gets_no_advice_or_source_on_batch_norm():
    diagnosis = diagnosed(conv_resnet(110, norm="none"))
    text = advice(diagnosis, "gradient-explosion")
    assert "residual branch" in text and "Add skips" not in text and "orthogonal" not in text
    (finding,) = [f for f in diagnosis.findings if f.code == "gradient-explosion"]
    assert str(finding.source).startswith("Zhang")


def test_a_network_behind_batch_norm_is_told_of_its_own_cure_and_not_of_gains():
    diagnosis = diagnosed(plain_mlp(60, norm="batch", init="default"))
    text = advice(diagnosis, "gradient-explosion")
    assert "identity" in text and "gain²/fan_in" not in text and "Normalise" not in text
    assert str(diagnosis.findings[0].source).startswith("Yang")


@pytest.mark.parametrize(("share", "told"), [(2, False), (20, True)])
def test_advice_is_for_how_the_layers_are_made_and_not_for_a_few_among_them(share, told):
    plain = chain({"rms": [1.0] * 40})
    layers = [
        replace(layer, residual=i < share, parts=("LayerNorm", *layer.parts) if i < share else layer.parts)
        for i, layer in enumerate(plain.layers)
    ]
    parts = Parts.of(replace(plain, layers=tuple(layers)))
    assert (parts.residual, parts.norm) == (told, told)


def test_what_follows_from_another_finding_is_told_to_cure_that_first():
    consequences = [f for f in diagnosed(stacked(60, nn.ReLU)).findings if "follows_from" in f.evidence]
    assert consequences
    for finding in consequences:
        assert [remedy.text for remedy in finding.remedies] == [f"Cure {finding.evidence['follows_from']} first."]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("evidence", [{}, {"rate": 0.1}, {"parameters": ["a"]}], ids=["layer", "drift", "parameter"])
def test_every_finding_of_every_network_has_a_way_out(code, evidence):
    finding = Finding(code=code, layer="fc", severity="error", message="fc: …", evidence=evidence)
    names = list(Parts.__dataclass_fields__)
    for held in product((False, True), repeat=len(names)):
        parts = Parts(**dict(zip(names, held, strict=True)))
        if parts.norm or not parts.batch_norm:
            assert remedies_for(finding, parts), parts
