"""Importing is light: no torch for the theory, no heavy package at the top."""

import pkgutil
import subprocess
import sys

import pytest

import leadline

HEAVY = ("torch", "transformers", "plotly", "sklearn", "pandas", "timm", "torchvision")


def _loaded_by(statement: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has loaded after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_leadline_loads_nothing_heavy() -> None:
    assert _loaded_by("import leadline") == set()


def test_importing_the_theory_loads_no_torch() -> None:
    assert "torch" not in _loaded_by("import leadline.theory")


def test_this_test_can_fail() -> None:
    assert "torch" in _loaded_by("import leadline; leadline.profile")


@pytest.mark.parametrize("name", leadline.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(leadline, name) is not None
    assert name in dir(leadline)


@pytest.mark.parametrize("name", [found.name for found in pkgutil.iter_modules(leadline.__path__) if found.ispkg])
def test_every_subpackage_but_private_ones_and_the_command_line_is_an_attribute(name: str) -> None:
    assert (name in dir(leadline)) == (name not in ("_core", "cli"))


def test_a_subpackage_is_loaded_on_first_use() -> None:
    assert "torch" in _loaded_by("import leadline; leadline.simulate.propagate; leadline.studies.claims")


def test_an_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(AttributeError, match="it has .*diagnose.*profile.*simulate"):
        _ = leadline.profil
