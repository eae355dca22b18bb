"""The report: one self-contained HTML file out of a record, words first."""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from leadline._core.diagnosis import DepthLimit, Diagnosis, Finding
from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline._core.rates import Rate
from leadline._core.records import write_text
from leadline._core.wording import FARTHEST
from leadline.reporting import words
from leadline.reporting.page_tables import PageTable
from leadline.reporting.plots import PANELS, figures

# Sizes, whose rates along the chain are worth a sentence without a diagnosis too.
_SIZES = ("rms", "grad_norm", "weight_grad_norm")


def report(record: object, path: str | Path = "report.html", *, also: Sequence[PageTable] = ()) -> Path:
    """Write a record as one HTML file that needs no network, and whose words need no JavaScript.

    The verdict comes first, then the findings, the plots against depth with theory overlaid, the table of layers and
    how it was measured. The same record gives the same bytes; the file is written whole or not at all.

    Args:
        record: A ``Diagnosis``, a ``Repair``, a ``Simulation``, a ``StudyFigure``, a ``Reproduction``, or a
            ``Profile``, which is shown without a verdict.
        path: The file to write; an older one is replaced.
        also: Further tables of a ``Diagnosis``, shown below its findings.

    Returns:
        The path of the file.

    Raises:
        UsageError: If ``record`` is something else, has no place for further tables, or ``path`` cannot be written.

    Example:
        >>> import leadline, tempfile
        >>> layer = leadline.LayerProfile(name="fc", kind="Linear", depth=0, metrics={"rms": 0.5})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = leadline.report(leadline.Profile(layers=(layer,), model="Net"), f"{folder}/report.html")
        ...     "Net" in path.read_text(encoding="utf-8")
        True
    """
    if also and not isinstance(record, Diagnosis):
        raise UsageError(f"Further tables stand below the findings of a Diagnosis; got {type(record).__name__}.")
    return write_text(page(record, also=also) if also else page(record), path)


@singledispatch
def page(record: object, **how: Any) -> str:
    """The page of a record as text; further kinds of records are registered here."""
    raise UsageError(
        f"A report shows a Diagnosis, a Profile, a Repair, a Simulation, a figure or verdicts on claims, "
        f"got {type(record).__name__}; "
        "a model is measured first: `leadline.report(leadline.diagnose(leadline.profile(model, inputs)))`."
    )


@page.register
def _(record: Profile) -> str:
    rates = {metric: record.rate(metric) for metric in _SIZES}
    return _render(record, drawn=figures(record), rates=rates)


@page.register
def _(record: Diagnosis, *, also: Sequence[PageTable] = ()) -> str:
    drawn = figures(record.profile, findings=record.findings, predictions=record.predictions)
    return _render(
        record.profile, drawn=drawn, rates=record.rates, diagnosis=record, findings=record.findings, also=also
    )


def _render(
    profile: Profile,
    *,
    drawn: Mapping[str, Any],
    rates: Mapping[str, Rate],
    diagnosis: Diagnosis | None = None,
    findings: Sequence[Finding] = (),
    also: Sequence[PageTable] = (),
) -> str:
    columns = [m for m in words.MEANINGS if any(not math.isnan(getattr(layer, m)) for layer in profile.layers)]
    panels = [panel for panel in PANELS if panel.key in drawn]
    return rendered(
        "report.html",
        figures=drawn,
        profile=profile,
        diagnosis=diagnosis,
        findings=findings,
        also=also,
        panels=panels,
        drawn={metric for panel in panels for metric in panel.metrics if metric in columns},
        rates=rates,
        columns=columns,
        flags={finding.layer: index for index, finding in reversed(list(enumerate(findings, 1))) if finding.layer},
    )


def rendered(template: str, *, figures: Mapping[str, Any], **given: Any) -> str:
    """A template of the page with what it is given; where there are figures, with the scripts that draw them."""
    scripts = [get_plotlyjs(), _TEMPLATES.get_template("report.js").render()] if figures else []
    return _TEMPLATES.get_template(template).render(
        figures=figures,
        scripts=[Markup(script) for script in scripts],
        fingerprints=[_fingerprint(script) for script in scripts],
        **given,
    )


def _depth_scale(limit: DepthLimit, depth: int) -> dict[str, Any]:
    """Places on a logarithmic scale of blocks, in percent of its width from the left (``beyond``: from the right)."""
    known = [min(v, FARTHEST) for v in (limit.estimate, limit.low, limit.high) if math.isfinite(v)] + [depth]
    top = 10 ** math.ceil(math.log10(max(10, *known)))

    def place(blocks: float) -> float:
        if math.isnan(blocks):
            return 100.0
        return round(100 * math.log10(min(max(blocks, 1), top)) / math.log10(top), 1)

    estimate = place(limit.estimate) if math.isfinite(limit.estimate) else None
    low = place(limit.low) if not math.isnan(limit.low) else 0.0
    return {
        "top": top,
        "low": low,
        "beyond": round(100 - place(limit.high), 1),
        "estimate": estimate,
        "own": place(depth),
    }


def _fingerprint(script: str) -> str:
    """What the page's own policy calls a script: nothing runs but the scripts that were written into it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _breakable(metric: str) -> Markup:
    """The name of a metric that may be broken behind its underscores."""
    return Markup("_<wbr>").join(metric.split("_"))


def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("leadline.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": words.number, "plain": words.plain, "count": words.count, "breakable": _breakable}
    templates.globals |= {"words": words, "depth_scale": _depth_scale}
    return templates


_TEMPLATES = _templates()
