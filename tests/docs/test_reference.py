"""The reference speaks of everything public, and the generated parts of all that they are generated from."""

import importlib
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from leadline import data, init, metrics, nn, simulate, studies, targets, theory, train
from leadline._core.diagnosis import CODES
from leadline.doctor.catalogue import catalogue
from leadline.studies import figures
from leadline.targets import designs

DOCS = Path(__file__).parents[2] / "docs"
PACKAGES = {
    "metrics": metrics,
    "theory": theory,
    "targets": targets,
    "nn": nn,
    "init": init,
    "data": data,
    "simulate": simulate,
    "train": train,
}
# Tables of names and types of words, which the pages have as tables.
TABLES = {"ACTIVATIONS", "TORCH_NAMES", "ActivationName", "InitName"}


def hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_hook_{name}", DOCS / "hooks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def described(page: str) -> set[str]:
    text = (DOCS / "reference" / f"{page}.md").read_text(encoding="utf-8")
    return set(re.findall(r"^::: leadline\.([\w.]+)$", text, flags=re.MULTILINE))


def public(package: ModuleType) -> set[str]:
    """Names that the package re-exports in the form ``X as X``."""
    source = Path(package.__file__ or "").read_text(encoding="utf-8")
    return {name for name, same in re.findall(r"\b(\w+) as (\w+)\b", source) if name == same}


@pytest.mark.parametrize("page", PACKAGES)
def test_the_page_of_a_package_has_every_public_name(page):
    names = {name.rpartition(".")[2] for name in described(page)}
    assert public(PACKAGES[page]) - TABLES - names == set()


def test_the_page_of_the_studies_has_every_public_name():
    page = (DOCS / "reference" / "studies.md").read_text(encoding="utf-8")
    assert public(studies) - set(re.findall(r"\w+", page)) == set()


def test_the_installation_lists_every_extra():
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (DOCS / "index.md").read_text(encoding="utf-8")
    assert [extra for extra in project["optional-dependencies"] if f"`{extra}`" not in page] == []


def test_every_public_name_of_leadline_has_a_place():
    import leadline

    everywhere = {
        name for page in ("profile", "diagnose", "repair", "records", "reporting", "nn") for name in described(page)
    }
    assert set(leadline.__all__) - {"__version__"} - everywhere == set()


def test_every_code_has_a_page_with_its_limits_and_remedies():
    pytest.importorskip("mkdocs")
    pages = hook("generated").finding_pages()
    assert set(pages) == {"findings/index.md"} | {f"findings/{code}.md" for code in CODES}
    for entry in catalogue():
        page = pages[f"findings/{entry.code}.md"]
        assert f"`{entry.code}`" in pages["findings/index.md"]
        assert all(remedy.text.replace("*", r"\*") in page for remedy in entry.remedies)
        for rule in entry.rules:
            assert all(f"| `{name}` | {value:g} |" in page for name, value in rule.limits.items())
            assert str(rule.source) in page


def test_the_table_of_options_has_what_help_shows():
    table = hook("tables").options()
    for option in ("--data", "--batch", "--input-shape", "--seed", "--layers", "--json", "--html", "--device"):
        assert f"`{option}`" in table


def test_a_default_of_zero_is_told_and_one_that_is_off_or_empty_is_not():
    table = hook("tables").options()
    assert "| `--seed` <code>N</code> | Of the weights, the batch and dropout. | `0` |" in table
    assert "| `--what-if` | Which norm, activation, weights, skip or batch go deeper? |  |" in table
    assert "``" not in hook("tables").options("reproduce")


def test_the_table_of_options_of_fix_has_its_own():
    table = hook("tables").options("fix")
    for option in ("--recipe", "--layers", "--prove", "--dry-run", "--force", "--out", "--overwrite", "--seed"):
        assert f"`{option}`" in table


def test_the_table_of_designs_has_every_option_of_every_design():
    table = hook("tables").built_in_designs()
    assert all(f"`{design.name}`" in table for design in designs())
    assert all(f"`{option}`" in table for design in designs() for option in design.options)


def test_a_command_on_a_page_is_followed_by_what_it_prints():
    page = "Before.\n\n```console\n$ leadline check mlp:depth=3\n```\n\nAfter."
    shown = hook("outputs").on_page_markdown(page)
    assert shown.startswith(
        "Before.\n\n```console\n$ leadline check mlp:depth=3\n```\n\n```text\nmlp:depth=3 on 64 digits"
    )
    assert max(map(len, shown.splitlines())) <= 80


def test_a_command_that_is_wrong_stops_the_build():
    with pytest.raises(RuntimeError, match="ended with status 2"):
        hook("outputs").on_page_markdown("```console\n$ leadline check mpl:depth=3\n```")


def test_a_formula_becomes_mathml_and_other_words_stay():
    pytest.importorskip("latex2mathml")
    page = r'<p>Rate <span class="arithmatex">\(\tfrac12\log\chi_1\)</span> &lt; 1</p>'
    drawn = hook("maths").on_page_content(page)
    assert drawn.startswith('<p>Rate <span class="maths"><math ') and drawn.endswith("</math></span> &lt; 1</p>")
    assert "<mfrac><mn>1</mn><mn>2</mn></mfrac>" in drawn and "\\" not in drawn


def test_every_figure_has_been_drawn_for_its_page():
    drawn = {path.stem for path in (DOCS / "figures").glob("*.json")}
    assert drawn == {figure.id for figure, _ in figures()}
