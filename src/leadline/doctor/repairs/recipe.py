"""What a recipe is, and what it is given."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline._core.repair import ACTIONS, Step
from leadline.doctor.repairs.wiring import Link, wiring
from leadline.init._maps import linear_maps


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A model under repair.

    Attributes:
        model: The user's module, wrappers removed.
        inputs: The batch, as the model is called with it.
        profile: What was measured of the model as it was.
        seed: Where everything random starts from.
        chosen: Which modules may be changed, by dotted name and module.
    """

    model: nn.Module
    inputs: Any
    profile: Profile
    seed: int
    chosen: Callable[[str, nn.Module], bool]

    def links(self) -> list[Link]:
        """The linear maps that run and may be changed, with what stands behind each."""
        return [link for link in wiring(self.model, self.inputs) if self.chosen(link.name, link.layer.module)]

    def draw(self, initialiser: str = "orthogonal") -> Step:
        """Draw every linear map anew, and set its bias to zero."""
        modules = dict(self.model.named_modules())
        names = [entry.name for entry in linear_maps(self.model)]
        homes = {name: name.rpartition(".")[0] for name in names}
        others = {home for home in homes.values() if not self.chosen(home, modules[home])}
        kept = [
            name for name, p in self.model.named_parameters() if p.requires_grad and name.rpartition(".")[0] in others
        ]
        count = sum(home not in others for home in homes.values())
        text = f"Drew {count} {'weight' if count == 1 else 'weights'} anew, orthogonal, and set their biases to 0."
        return self.done("draw", text, initialiser=initialiser, seed=self.seed, kept=kept)

    def done(self, action: str, text: str, *, layer: str = "", swaps: bool = False, **data: Any) -> Step:
        """Do an action to the model, and the step that says so."""
        ACTIONS[action](self.model, data)
        return Step(action=action, layer=layer, text=text, data=data, swaps=swaps)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A way to repair.

    Attributes:
        name: As in ``recipe=``.
        text: What it does, in a phrase.
        swaps: Whether it swaps modules; otherwise it only changes numbers.
        ways: What tells a way from the others -> what does it to the patient in place and returns the steps that it
            took; of several the best is kept. Raises ``UsageError`` where it cannot.
    """

    name: str
    text: str
    swaps: bool
    ways: Mapping[str, Callable[[Patient], list[Step]]]


def need(found: Iterable[Any], what: str) -> None:
    """Refuse a recipe that has nothing to work on.

    Raises:
        UsageError: If ``found`` is empty.
    """
    if not any(True for _ in found):
        raise UsageError(f"The model has no {what}.")
