"""Residual branches: which maps lie in them, and which is the last of each."""

from collections.abc import Sequence

from leadline._core.profile import Profile
from leadline.doctor.repairs.wiring import Link


def inside_blocks(profile: Profile, links: Sequence[Link]) -> set[str]:
    """Names of the maps that lie inside residual layers."""
    blocks = [layer.name.partition("#")[0] for layer in profile.layers if layer.residual]
    return {link.name for link in links if any(link.name.startswith(f"{block}.") for block in blocks)}


def branch_ends(profile: Profile, links: Sequence[Link]) -> dict[str, str]:
    """The last map of each residual branch -> the module whose output is added."""
    branches = dict.fromkeys(path for layer in profile.layers if layer.residual for path in layer.branches)
    ends: dict[str, str] = {}
    for branch in branches:
        own = [link for link in links if any(_within(path, branch) for path in link.paths)]
        if own:
            ends[own[-1].name] = branch
    return ends


def _within(path: str, branch: str) -> bool:
    return path == branch or path.startswith(f"{branch}.")
