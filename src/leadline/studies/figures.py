"""The registry of the papers' figures, and what their panels are put together from."""

import importlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import SupportsFloat

import numpy as np
from scipy.special import stdtrit

from leadline._core.claims import PAPERS
from leadline._core.errors import UsageError
from leadline._core.figures import Curve, FigurePanel, StudyFigure
from leadline._core.names import nearest
from leadline._core.sources import Source

BAND = 0.95

Numbers = Sequence[SupportsFloat] | np.ndarray
Draw = Callable[[int], tuple[FigurePanel, ...]]

_FIGURES: dict[str, tuple[StudyFigure, float, Draw]] = {}


def figure(
    name: str, title: str, *, where: str, seconds: float, deviations: str = "", bands: str = StudyFigure.bands
) -> Callable[[Draw], Draw]:
    """Register how a figure is drawn: a function from a seed to its panels.

    Args:
        name: Letter of the paper and name of the figure, such as ``"A.fig1"``.
        title: What it shows.
        where: Its place in the paper.
        seconds: What it takes on two cores, about.
        deviations: What is done otherwise than in the paper, and why.
        bands: What its bands are, by default those of ``curve``.
    """

    def register(draw: Draw) -> Draw:
        source = Source(key=PAPERS[name[0]], locator=where)
        record = StudyFigure(id=name, title=title, source=source, deviations=deviations, bands=bands)
        _FIGURES[name] = (record, seconds, draw)
        return draw

    return register


def figures() -> tuple[tuple[StudyFigure, float], ...]:
    """Every figure, without its panels, and the seconds that it takes.

    Example:
        >>> from leadline import studies
        >>> studies.figures()[0][0].id
        'A.fig1'
    """
    for key in PAPERS.values():
        importlib.import_module(f"leadline.studies.{key}.figures")
    return tuple(_FIGURES[name][:2] for name in sorted(_FIGURES, key=_order))


def draw(name: str, *, seed: int = 0) -> StudyFigure:
    """Draw a figure of a paper, with the published points where they are known.

    Args:
        name: Letter of the paper and name of the figure, such as ``"D.fig7"`` or ``"D.tab1"``.
        seed: Of everything random.

    Raises:
        UsageError: If there is no such figure.

    Example:
        >>> from leadline import studies
        >>> [panel.y for panel in studies.draw("D.fig7").panels]
        ['density']
    """
    known = {each.id.lower(): each.id for each, _ in figures()}
    found = known.get(name.lower())
    if found is None:
        guess = nearest(name, list(known.values()))
        hint = f"did you mean {guess}?" if guess else "`leadline figure --list` names them."
        raise UsageError(f"There is no figure {name!r}; {hint}")
    record, _, panels = _FIGURES[found]
    start = time.perf_counter()
    drawn = panels(seed)
    return replace(record, panels=drawn, seed=seed, seconds=time.perf_counter() - start)


def curve(name: str, x: Numbers, samples: Numbers | Sequence[Numbers]) -> Curve:
    """The mean over draws, the first axis, with Student's 95 % band; a single row is drawn as it is.

    Example:
        >>> curve("gap", [1, 2], [[1.0, 2.0], [3.0, 2.0]]).y
        (2.0, 2.0)
    """
    y = np.atleast_2d(np.asarray(samples, dtype=np.float64))
    centre, low, high = y.mean(0), (), ()
    if len(y) > 1:
        with np.errstate(invalid="ignore"):  # no band where a draw is infinite
            half = stdtrit(len(y) - 1, 0.5 + BAND / 2) * y.std(0, ddof=1) / np.sqrt(len(y))
        low, high = _floats(centre - half), _floats(centre + half)
    return Curve(name=name, x=_floats(x), y=_floats(centre), low=low, high=high)


def middle(name: str, x: Numbers, samples: Numbers | Sequence[Numbers]) -> Curve:
    """The median over draws, the first axis, between the least and the most of them: for what may be infinite or 0.

    Example:
        >>> middle("rate", [2, 4], [[1.0, 0.1], [1.0, 0.0], [3.0, 0.0]]).y
        (1.0, 0.0)
    """
    y = np.asarray(samples, dtype=np.float64)
    return Curve(name=name, x=_floats(x), y=_floats(np.median(y, 0)), low=_floats(y.min(0)), high=_floats(y.max(0)))


def published(name: str, x: Numbers, y: Numbers) -> Curve:
    """Points of the paper's own curve, to be compared with the one of the same name; it may end before ``x`` does.

    Example:
        >>> published("gap", [1, 2, 3], [0.5, 0.25]).x
        (1.0, 2.0)
    """
    heights = _floats(y)
    return Curve(name=name, x=_floats(x)[: len(heights)], y=heights, published=True)


def _floats(values: Numbers) -> tuple[float, ...]:
    return tuple(np.asarray(values, dtype=np.float64).tolist())


def _order(name: str) -> tuple[str, bool, float, str]:
    number = re.search(r"(\d+)", name)
    return name[0], "tab" in name, int(number[1]) if number else np.inf, name
