"""Pages that are written while the site is built: one for each code of a finding, and those of the root folder."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from leadline.doctor.catalogue import Entry, catalogue
from leadline.doctor.registry import Rule

_ROOT = Path(__file__).parents[2]
_COPIED = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The findings in the navigation."""
    for part in config.nav or ():
        if isinstance(part, dict) and "Findings" in part:
            part["Findings"] = list(finding_pages())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages beside those of the folder."""
    copied = {page: (_ROOT / name).read_text(encoding="utf-8") for page, name in _COPIED.items()}
    for page, text in (finding_pages() | copied).items():
        files.append(File.generated(config, page, content=text))
    return files


def finding_pages() -> dict[str, str]:
    """Page -> its text: the list of codes, then one page a code."""
    entries = catalogue()
    return {"findings/index.md": _index(entries)} | {f"findings/{each.code}.md": page_of(each) for each in entries}


def _index(entries: tuple[Entry, ...]) -> str:
    rows = "\n".join(f"| [`{each.code}`]({each.code}.md) | {each.what} |" for each in entries)
    return (
        "# Findings\n\nEvery code that `leadline.diagnose` can give, written from the rules themselves. How they are "
        "judged, and how causes are told from symptoms, is said in "
        f"[Rules and limits](../explanation/rules-and-limits.md).\n\n| code | what it says |\n|---|---|\n{rows}\n"
    )


def page_of(entry: Entry) -> str:
    """One code: what it says, the rules that find it with their limits and reasons, and what to do."""
    rules = "\n".join(_rule(rule, alone=len(entry.rules) == 1) for rule in entry.rules)
    remedies = "\n".join(f"{i}. {_escaped(remedy.text)}" for i, remedy in enumerate(entry.remedies, start=1))
    return (
        f"# {entry.code}\n\n{entry.what[0].upper()}{entry.what[1:]}.\n\n{rules}\n"
        f"## What to do\n\nMost promising first.\n\n{remedies}\n"
    )


def _rule(rule: Rule, *, alone: bool) -> str:
    title = "When it is said" if alone else rule.check.__name__.replace("_", " ").capitalize()
    limits = "\n".join(f"| `{name}` | {value:g} |" for name, value in rule.limits.items())
    table = f"| limit | value |\n|---|---|\n{limits}\n\n" if limits else ""
    return f"## {title}\n\n{_escaped(rule.reason)}\n\n{table}Source: {rule.source}.\n"


def _escaped(text: str) -> str:
    """Signs that Markdown would take for emphasis, outside code."""
    return "`".join(part if i % 2 else part.replace("*", r"\*") for i, part in enumerate(text.split("`")))
