"""The pages of the studies: a figure of a paper beside the published points, and verdicts on claims."""

from leadline._core.claims import Reproduction
from leadline._core.figures import StudyFigure
from leadline.reporting.html import page, rendered
from leadline.reporting.study_plots import panel_figure
from leadline.reporting.study_words import comparison, estimate, legend, limits, tally


@page.register
def _(record: StudyFigure) -> str:
    panels = {f"panel-{k}": panel for k, panel in enumerate(record.panels)}
    drawn = {key: panel_figure(panel) for key, panel in panels.items()}
    return rendered(
        "figure.html", figures=drawn, found=record, panels=panels, rows=comparison(record), legend=legend(record)
    )


@page.register
def _(record: Reproduction) -> str:
    claims = {claim.id: claim for claim in record.claims}
    return rendered(
        "claims.html",
        figures={},
        found=record,
        claims=claims,
        tally=tally(record.verdicts),
        estimate=estimate,
        limits=limits,
    )
