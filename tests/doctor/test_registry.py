import inspect
import pkgutil

import pytest
from tests.doctor.synthetic import EMPTY

from leadline._core.diagnosis import CODES, Finding
from leadline._core.sources import WORKS, Source
from leadline.doctor.registry import Rule, known_rules
from leadline.doctor.remedies import WAYS, Parts, remedies_for


def test_every_code_has_a_rule_and_every_rule_a_code():
    assert {rule.code for rule in known_rules()} == set(CODES)


def test_every_code_has_a_remedy():
    assert set(WAYS) == set(CODES)
    assert all(len(ways) >= 2 for ways in WAYS.values())


def test_no_remedy_names_a_recipe_that_cannot_be_called():
    assert not [way.remedy for ways in WAYS.values() for way in ways if way.remedy.recipe]


@pytest.mark.parametrize("rule", known_rules(), ids=lambda rule: rule.check.__name__)
def test_a_rule_is_silent_on_an_empty_profile(rule: Rule):
    assert list(rule(EMPTY)) == []


@pytest.mark.parametrize("rule", known_rules(), ids=lambda rule: rule.check.__name__)
def test_a_rule_names_each_of_its_limits_in_its_reason(rule: Rule):
    assert rule.reason
    missing = [name for name in rule.limits if f"``{name}``" not in rule.reason]
    assert missing == []


@pytest.mark.parametrize("rule", known_rules(), ids=lambda rule: rule.check.__name__)
def test_the_source_of_a_rule_is_a_known_work(rule: Rule):
    assert rule.source.key in WORKS


def test_limits_are_the_keyword_defaults_of_the_function():
    def check(profile, *, limit=3.0, error=6.0):
        """Limits of ``limit`` and ``error``."""
        yield from ()

    rule = Rule(code="saturation", check=check, source=Source(key="leadline"))
    assert rule.limits == {"limit": 3.0, "error": 6.0}
    assert inspect.isgeneratorfunction(check)


def test_a_finding_gets_the_remedies_of_its_code_and_the_source_of_its_rule():
    def check(profile):
        yield Finding(code="saturation", layer="fc", severity="warning", message="fc: flat")

    (finding,) = Rule(code="saturation", check=check, source=Source(key="glorot2010"))(EMPTY)
    assert finding.remedies == remedies_for(finding, Parts.of(EMPTY))
    assert len(finding.remedies) >= 2
    assert finding.source == Source(key="glorot2010")


def test_no_public_name_of_the_doctor_is_a_module_of_its_too():
    import leadline.doctor

    known_rules()  # loads the modules of the rules
    modules = {module.name for module in pkgutil.iter_modules(leadline.doctor.__path__)}
    functions = {name for name, value in vars(leadline.doctor).items() if callable(value)}
    assert modules & functions == set()
