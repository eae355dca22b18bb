"""Claims and figures of papers in words and cells of tables."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from leadline._core.claims import Part, Verdict
from leadline._core.figures import StudyFigure
from leadline._core.wording import count, number


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many claims hold, fail and stay open.

    Example:
        >>> tally([Verdict(id="A1", verdict="holds", seed=0), Verdict(id="A2", verdict="undecided", seed=0)])
        '2 claims: 1 holds, 0 fail, 1 undecided'
    """
    found = Counter(verdict.verdict for verdict in verdicts)
    holds = f"{found['holds']} {'holds' if found['holds'] == 1 else 'hold'}"
    fails = f"{found['fails']} {'fails' if found['fails'] == 1 else 'fail'}"
    return f"{count(len(verdicts), 'claim')}: {holds}, {fails}, {found['undecided']} undecided"


def estimate(part: Part | None) -> str:
    """The number with its interval.

    Example:
        >>> estimate(Part(name="", estimate=1.0, low=0.9, high=1.1))
        '1.00 [0.900, 1.10]'
    """
    if part is None or part.low == part.high:
        return "" if part is None else number(part.estimate)
    return f"{number(part.estimate)} [{number(part.low)}, {number(part.high)}]"


def limits(part: Part | None) -> str:
    """What it must be for the claim to hold.

    Example:
        >>> limits(Part(name="", estimate=1.0, low=0.9, high=1.1, most=2.0))
        '≤ 2.00'
    """
    if part is None or (math.isinf(part.least) and math.isinf(part.most)):
        return ""
    if math.isinf(part.least):
        return f"≤ {number(part.most)}"
    return f"≥ {number(part.least)}" if math.isinf(part.most) else f"{number(part.least)} to {number(part.most)}"


def comparison(figure: StudyFigure) -> list[dict[str, str]]:
    """A row for each published point, with ours beside it; between our points along the straight line of the axes.

    Where nothing is published: the ends of our curves.
    """
    rows, alone = [], len(figure.panels) == 1
    place = _place(x for panel in figure.panels for curve in panel.curves for x in curve.x)
    for panel in figure.panels:
        ours = {curve.name: curve for curve in panel.curves if not curve.published}
        for curve in panel.curves:
            if not curve.published:
                continue
            for x, y in zip(curve.x, curve.y, strict=True):
                found = ours.get(curve.name)
                value = math.nan if found is None else _at(x, found.x, found.y, log=(panel.x_scale, panel.y_scale))
                rows.append(
                    {
                        "panel": panel.title, "curve": curve.name, panel.x if alone else "at": place(x),
                        "published": number(y), "ours": "" if math.isnan(value) else number(value),
                    }
                )  # fmt: skip
    if not rows:
        for panel in figure.panels:
            rows += [
                {
                    "panel": panel.title, "curve": curve.name,
                    "first": number(curve.y[0]), "last": number(curve.y[-1]), "at": place(curve.x[-1]),
                }
                for curve in panel.curves
            ]  # fmt: skip
    return rows


def _place(xs: Iterable[float]) -> Callable[[float], str]:
    """How places on the horizontal axis are written: as whole numbers where all are, such as layers."""
    return (lambda x: f"{x:.0f}") if all(abs(x) < 1e5 and x == round(x) for x in xs) else number


def legend(figure: StudyFigure) -> str:
    """What its lines, bands and marks are; of maps of colour nothing need be said.

    Example:
        >>> from leadline._core.sources import Source
        >>> legend(StudyFigure(id="D.fig6", title="", source=Source(key="bjorck2018")))
        ''
    """
    curves = [curve for panel in figure.panels for curve in panel.curves]
    said = {
        "Lines are ours.": any(not curve.published for curve in curves),
        f"Bands are {figure.bands}.": any(curve.low for curve in curves),
        "Open diamonds are published points.": any(curve.published for curve in curves),
    }
    return " ".join(sentence for sentence, there in said.items() if there)


def _at(x: float, xs: tuple[float, ...], ys: tuple[float, ...], *, log: tuple[str, str]) -> float:
    """The curve at ``x``; not a number outside of it."""
    if x in xs:
        return ys[xs.index(x)]
    right = next((k for k, each in enumerate(xs) if each > x), 0)
    if right == 0:
        return math.nan
    ends = [xs[right - 1], xs[right]], [ys[right - 1], ys[right]]
    (a, b), (low, high) = (
        [math.log(v) for v in pair] if scale == "log" and min(pair) > 0 else pair
        for pair, scale in zip(ends, log, strict=True)
    )
    along = math.log(x) if log[0] == "log" and min(ends[0]) > 0 else x
    value = low + (high - low) * (along - a) / (b - a)
    return math.exp(value) if log[1] == "log" and min(ends[1]) > 0 else value
