"""Claims on training at a size that this scale does not reach."""

from leadline.studies.claims import Evidence, claim

_REASON = "Undecided at this scale: the paper trains 1000 layers on CIFAR-10 for 300 to 1000 epochs."


def _undecided(seed: int) -> Evidence:
    return Evidence(reason=_REASON)


for _name, _statement, _where in (
    ("A20", "Networks with shaped sin and tanh train at a speed that does not depend on depth.", "fig. 4"),
    ("A21", "The identity trains far worse than shaped sin and tanh.", "fig. 4"),
    ("A22", "Middle layers stay nearly orthogonal through training.", "fig. 6"),
):
    claim(_name, _statement, where=_where, rule="None at desk scale.", seconds=0)(_undecided)
