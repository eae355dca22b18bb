"""Single faults, planted in place, and whether a diagnosis blames the module that holds one."""

from collections.abc import Collection

import torch
from tests.doctor.models import Case
from torch import nn

import leadline
from leadline._core.diagnosis import Diagnosis


def diagnosed(case: Case, **options) -> Diagnosis:
    model, inputs, targets = case
    return leadline.diagnose(leadline.profile(model, inputs, targets, **options))


@torch.no_grad()
def scale(model: nn.Module, path: str, factor: float) -> None:
    model.get_submodule(path).weight.mul_(factor)


@torch.no_grad()
def rank_one(model: nn.Module, path: str) -> None:
    """The nearest weight of rank one, with the norm of the whole."""
    weight = model.get_submodule(path).weight
    matrix = weight.flatten(1)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    weight.copy_((s.norm() * torch.outer(u[:, 0], v[0])).view_as(weight))


@torch.no_grad()
def poison(model: nn.Module, path: str) -> None:
    model.get_submodule(path).weight.view(-1)[3] = torch.nan


@torch.no_grad()
def kill(model: nn.Module, path: str, bias: float = -20.0) -> None:
    model.get_submodule(path).bias.fill_(bias)


def blames(diagnosis: Diagnosis, path: str, codes: Collection[str]) -> bool:
    """Whether an error or warning of one of ``codes`` stands at the layer that is or holds the module ``path``."""
    return any(
        finding.code in codes
        and finding.severity != "note"
        and f"{path}.".startswith(f"{finding.layer}.")
        and finding.layer
        for finding in diagnosis.findings
    )


def told(diagnosis: Diagnosis) -> str:
    """The findings, for the message of a failing assertion."""
    return "\n" + str(diagnosis)
