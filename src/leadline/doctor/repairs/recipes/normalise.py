"""A normalisation inserted in front of every activation that has none."""

from leadline._core.errors import UsageError
from leadline._core.repair import Step
from leadline.doctor.repairs.recipe import Patient, Recipe, need
from leadline.doctor.repairs.recipes.unit_variance import scaled
from leadline.doctor.repairs.wiring import Link

LEAST = 16  # values of a feature in the batch, from which on their mean and variance are worth taking


def mend(patient: Patient) -> list[Step]:
    """Insert, then draw and scale."""
    return [*inserted(patient, kind=None, alpha=None), patient.draw(), *scaled(patient)]


def inserted(patient: Patient, *, kind: str | None, alpha: float | None) -> list[Step]:
    """Put a norm between each map and the activation behind it, where there is none.

    Batch normalisation, which keeps samples apart at any depth; layer normalisation for tokens (features in the last of
    three axes) and for batches with too few values of a feature.
    """
    links = [link for link in patient.links() if link.phi is not None and link.norm_module is None]
    need(links, "activations behind a linear map without a norm")
    users = [link.activation for link in links]
    return [_step(patient, link, kind, alpha, alone=users.count(link.activation) == 1) for link in links]


def _step(patient: Patient, link: Link, kind: str | None, alpha: float | None, *, alone: bool) -> Step:
    batch = link.layer.weight.kernel != () or link.axes == 2
    if kind is None:
        enough = patient.profile.batch >= LEAST or link.axes >= 4
        kind = "batch" if batch and enough else "layer" if not link.layer.weight.kernel else "group"
    elif not batch:
        raise UsageError(f"{link.name} gives tokens, which fractional batch normalisation is not inserted for.")
    # A norm in front of an activation keeps the names of the weights; one that several maps share has no one width.
    front = bool(link.activation) and alone
    module = link.activation if front else link.name
    return patient.done(
        "insert",
        f"{module}: {kind} normalisation of {link.features} features put {'in front of it' if front else 'behind it'}.",
        layer=module,
        swaps=True,
        module=module,
        norm=kind,
        features=link.features,
        axes=link.axes,
        front=front,
        alpha=alpha,
    )


NORMALISE = Recipe(
    name="normalise",
    text="a normalisation inserted in front of every activation that has none, with orthogonal weights",
    swaps=True,
    ways={"": mend},
)
