"""The numbers of one monitored step."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was measured in one step.

    Attributes:
        step: Optimiser steps before it.
        layers: Layer -> metric -> value. ``rms``, ``norm``, ``distinction``, ``mean_cosine``, ``dead_fraction`` and
            ``saturated_fraction`` are of the output, with ``grad_`` before it of the output's gradient;
            ``weight_grad_norm`` and ``weight_norm`` are of the layer's own parameters, and so is ``update_ratio``
            where it is asked for; on some of the steps ``participation_ratio``, ``effective_rank`` and
            ``isometry_gap``.
        totals: ``grad_norm``, ``weight_norm`` and ``update_ratio`` of all parameters, and ``loss`` where it was given.
        blind: What could not be seen, and why; empty where all was.
    """

    step: int
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    totals: Mapping[str, float] = field(default_factory=dict)
    blind: str = ""

    def scalars(self, *, per_layer: bool = False) -> dict[str, float]:
        """A few numbers that tell of all layers, or with ``per_layer`` every number under ``layer/metric``."""
        found = dict(self.totals)
        for name, (metric, pick) in _SUMMARY.items():
            values = [row[metric] for row in self.layers.values() if metric in row and not math.isnan(row[metric])]
            if values:
                found[name] = pick(values)
        if per_layer:
            found |= {
                f"{path or 'model'}/{metric}": v for path, row in self.layers.items() for metric, v in row.items()
            }
        return found


_Pick = Callable[[Iterable[float]], float]
_SUMMARY: dict[str, tuple[str, _Pick]] = {
    "rms_max": ("rms", max),
    "rms_min": ("rms", min),
    "grad_rms_max": ("grad_rms", max),
    "grad_rms_min": ("grad_rms", min),
    "distinction_min": ("distinction", min),
    "grad_distinction_min": ("grad_distinction", min),
    "dead_fraction_max": ("dead_fraction", max),
    "saturated_fraction_max": ("saturated_fraction", max),
    "participation_ratio_min": ("participation_ratio", min),
}
