"""Sounds deep networks: measures signals and gradients through any model, explains what it finds, and repairs.

>>> import leadline, torch
>>> net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
>>> profile = leadline.profile(net, torch.randn(16, 8, generator=torch.Generator().manual_seed(0)))
>>> [layer.name for layer in profile.layers]
['0', '2']
"""

import importlib
from typing import TYPE_CHECKING, Any

from leadline._version import __version__ as __version__

if TYPE_CHECKING:
    from leadline._core.diagnosis import (
        DepthLimit as DepthLimit,
        Diagnosis as Diagnosis,
        Finding as Finding,
        Remedy as Remedy,
    )
    from leadline._core.profile import LayerProfile as LayerProfile, Profile as Profile
    from leadline._core.repair import Repair as Repair
    from leadline.doctor import diagnose as diagnose, repair as repair
    from leadline.nn import shape as shape
    from leadline.probe import profile as profile
    from leadline.reporting import report as report

# Public name -> the module that holds it; loaded on first use, so that `import leadline.theory` loads no torch.
_HOMES = {
    "profile": "leadline.probe",
    "diagnose": "leadline.doctor",
    "repair": "leadline.doctor",
    "report": "leadline.reporting",
    "shape": "leadline.nn",
    "LayerProfile": "leadline._core.profile",
    "Profile": "leadline._core.profile",
    "DepthLimit": "leadline._core.diagnosis",
    "Diagnosis": "leadline._core.diagnosis",
    "Finding": "leadline._core.diagnosis",
    "Remedy": "leadline._core.diagnosis",
    # Not its own home: loading the doctor enters the actions that `Repair.apply` does.
    "Repair": "leadline.doctor",
}

# Loaded on first use, as the names above.
_SUBPACKAGES = (
    "metrics", "theory", "nn", "init", "data", "simulate", "probe", "targets", "doctor", "train", "reporting",
    "studies",
)  # fmt: skip

__all__ = [*_HOMES, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"leadline.{name}")
    raise AttributeError(f"module 'leadline' has no attribute {name!r}; it has {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES])
