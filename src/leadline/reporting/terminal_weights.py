"""The spectra of all weights in the terminal."""

import math
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from leadline._core.weights import WeightSpectrum
from leadline.reporting.terminal_layers import shown_rows
from leadline.reporting.terminal_table import Column, fitted_table, printable
from leadline.reporting.words import number


def weight_table(spectra: Mapping[str, WeightSpectrum], *, width: int) -> RenderableType:
    """One row a weight: its shape, its norm, its largest and smallest singular value, and how many directions it has.

    Args:
        spectra: Name of the weight -> its spectrum.
        width: Columns of the terminal; no line is longer.
    """
    names = list(spectra)
    shown = [names[i] for i in shown_rows(len(names), flagged={})]

    def numbers(header: str, attribute: str, importance: int) -> Column:
        cells = [number(getattr(spectra[name], attribute)) for name in shown]
        return Column(header=header, cells=cells, importance=importance)

    ranks = [_rank(spectra[n]) for n in shown]
    columns = [
        Column(header="weight", cells=[printable(n) for n in shown], justify="left", elastic=True, importance=9),
        Column(header="shape", cells=["×".join(map(str, spectra[n].shape)) for n in shown], importance=2),
        numbers("norm", "frobenius_norm", 3),
        numbers("σ max", "sigma_max", 8),
        numbers("σ min", "sigma_min", 5),
        numbers("condition", "condition_number", 7),
        numbers("stable rank", "stable_rank", 4),
        Column(header="rank", cells=ranks, importance=6),
    ]
    table = fitted_table(columns, width=width)
    if len(shown) == len(names):
        return table
    return Group(table, Text(f"… {len(names) - len(shown)} more weights, see --json", style="dim"))


def _rank(spectrum: WeightSpectrum) -> str:
    rank = spectrum.numerical_rank
    return number(rank) if math.isnan(rank) else f"{rank:.0f}/{min(spectrum.rows, spectrum.columns)}"
