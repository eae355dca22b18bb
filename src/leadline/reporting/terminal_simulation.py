"""A simulation in the terminal: a row a quantity, theory beside it."""

from rich.console import Group, RenderableType
from rich.text import Text

from leadline._core.simulation import Simulation
from leadline.reporting.simulation_words import headline, summary
from leadline.reporting.terminal_table import Column, fitted_table


def simulation_table(found: Simulation, *, width: int) -> RenderableType:
    """Means over draws at the first layer, over the later half of the layers and at the last, rates, and theory.

    Args:
        found: The simulation.
        width: Columns of the terminal; no line is longer.
    """
    rows = summary(found)
    importance = {"quantity": 9, "first": 6, "later half": 5, "last": 4, "per layer": 8, "theory": 7}
    columns = [
        Column(
            header=header,
            cells=[row[header] for row in rows],
            justify="left" if header == "quantity" else "right",
            importance=importance[header],
        )
        for header in importance
    ]
    notes = [f"theory of {one.quantity}: {one.words}" for one in found.expected]
    return Group(
        Text(headline(found), style="bold"),
        fitted_table(columns, width=width),
        *(Text(f"{line}.", style="dim") for line in dict.fromkeys(notes)),
    )
