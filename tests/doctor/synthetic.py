"""Profiles made by hand: a chain of linear layers whose metrics are given."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from leadline._core.diagnosis import Finding
from leadline._core.profile import LayerProfile, Profile
from leadline.doctor.registry import known_rules

EMPTY = Profile(layers=())


def chain(
    metrics: Mapping[str, Sequence[float]], *, parts: tuple[str, ...] = ("Linear", "ReLU"), **fields: Any
) -> Profile:
    """Linear layers ``fc0``, ``fc1``, …: layer i has the i-th value of every metric."""
    depth = len(next(iter(metrics.values())))
    layers = tuple(
        LayerProfile(
            name=f"fc{i}",
            kind="Linear",
            depth=i,
            repeat="Linear",
            shape=(32, 16),
            n=32,
            d=16,
            parts=parts,
            metrics={name: values[i] for name, values in metrics.items()},
        )
        for i in range(depth)
    )
    return Profile(layers=layers, batch=32, **fields)


def geometric(depth: int, rate: float, *, start: float = 1.0) -> list[float]:
    """``start``·10^(rate·i), with a ripple of a thousandth of a decade so that an interval exists."""
    return [start * 10 ** (rate * i + 1e-3 * math.cos(2.4 * i)) for i in range(depth)]


def found(profile: Profile, code: str, **limits: Any) -> list[Finding]:
    """What the rules of ``code`` say of ``profile``."""
    return [finding for rule in known_rules() if rule.code == code for finding in rule(profile, **limits)]
