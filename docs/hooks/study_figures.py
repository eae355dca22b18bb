"""Figures of the papers on their page: the files that ``leadline figure --json`` wrote, as plots and tables."""

import html
import json
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from leadline._core.figures import StudyFigure
from leadline._core.records import decode
from leadline.reporting.study_plots import panel_figure
from leadline.reporting.study_words import comparison, legend
from leadline.studies import figures

_PLACE = "<!-- figures of the papers -->"
_FOLDER = Path(__file__).parents[1] / "figures"
# Beside the pages, so that they need no network.
_SCRIPT = "plotly.min.js"
_DRAW = """<script>
document.querySelectorAll(".study-plot").forEach((place) => {
  const figure = JSON.parse(place.querySelector("script").textContent);
  const colour = getComputedStyle(place).color;
  Plotly.newPlot(place, figure.data, { ...figure.layout, font: { size: 12, color: colour } },
    { responsive: true, displayModeBar: false });
});
</script>"""


def on_page_markdown(markdown: str, **kwargs: object) -> str:
    """The page with every figure that was drawn."""
    return markdown.replace(_PLACE, page()) if _PLACE in markdown else markdown


def on_post_build(config: Any, **kwargs: object) -> None:
    """Put the library that draws beside the pages."""
    (Path(config["site_dir"]) / _SCRIPT).write_text(get_plotlyjs(), encoding="utf-8")


def page() -> str:
    """Every figure in the order of papers and numbers, and the script that draws them."""
    paths = [_FOLDER / f"{figure.id}.json" for figure, _ in figures()]
    drawn = [_read(path) for path in paths if path.exists()]
    return "\n\n".join([*map(_section, drawn), f'<script src="{_SCRIPT}"></script>', _DRAW])


def _read(path: Path) -> StudyFigure:
    return decode(StudyFigure, json.loads(path.read_text(encoding="utf-8"))["figure"])


def _section(figure: StudyFigure) -> str:
    lines = [f"## {figure.id}", f"**{figure.title}** {figure.source}. {legend(figure)} {figure.deviations}"]
    for panel in figure.panels:
        data = json.dumps(panel_figure(panel)).replace("</", "<\\/")
        lines.append(
            f'<figure class="study"><figcaption>{html.escape(panel.title)}</figcaption><div class="study-plot">'
            f'<script type="application/json">{data}</script></div></figure>'
        )
    rows = comparison(figure)
    if rows:
        heads = list(rows[0])
        table = [heads, ["---" if head in ("panel", "curve") else "--:" for head in heads]]
        table += [[cell.replace("|", "&#124;") for cell in row.values()] for row in rows]
        cells = "\n".join("| " + " | ".join(line) + " |" for line in table)
        lines.append(f'<details markdown="1"><summary>In numbers</summary>\n\n{cells}\n\n</details>')
    return "\n\n".join(lines)
