"""What is wrong with the batch: repeated samples, and too few of them for batch normalisation."""

from collections.abc import Iterator

from leadline._core.diagnosis import Finding, Severity
from leadline._core.profile import Profile
from leadline._core.sources import Source
from leadline._core.wording import count, figure
from leadline.doctor.layers import layer_of
from leadline.doctor.registry import rule


@rule("degenerate-batch", source=Source(key="meterez2023", locator="theorem 1 and figure 2"))
def degenerate_batch(
    profile: Profile, *, limit: float = 0.05, error: float = 0.5, alike: float = 1e-8
) -> Iterator[Finding]:
    """Samples that equal an earlier one, and batches in which all samples are nearly the same.

    A repeated sample makes the Gram matrix singular: the isometry gap is infinite, and behind batch normalisation
    gradients explode at the rate of the different samples only. Batches drawn with replacement hold a few by chance,
    so up to a share of ``limit`` it is a note; from ``error`` on every rank and batch statistic is that of another,
    smaller batch. ``alike`` is the distinction below which float32 rounding hides what tells the samples apart.
    """
    share = profile.repeated / profile.batch if profile.batch else 0.0
    inputs = profile.inputs
    if share > 0:
        severity: Severity = "error" if share >= error else "warning" if share > limit else "note"
        yield Finding(
            code="degenerate-batch",
            layer="",
            severity=severity,
            message=f"{profile.repeated} of the {count(profile.batch, 'sample')} of the batch "
            f"{'repeats' if profile.repeated == 1 else 'repeat'} an earlier one.",
            evidence={"repeated": profile.repeated, "batch": profile.batch, "share": share},
        )
    elif inputs is not None and inputs.n >= 2 and inputs.rows == "samples" and inputs.distinction < alike:
        yield Finding(
            code="degenerate-batch",
            layer="",
            severity="error",
            message="The samples of the batch are nearly the same: a share of "
            f"{figure(inputs.distinction)} of their squared length tells them apart.",
            evidence={"distinction": inputs.distinction},
        )


@rule("small-batch-norm", source=Source(key="ioffe2017", locator="section 3"))
def small_batch_norm(profile: Profile, *, limit: int = 8, error: int = 2) -> Iterator[Finding]:
    """Batch normalisation over fewer than ``limit`` values per channel.

    The standard deviation of m values has a relative error of 1/√(2(m−1)): .27 at 8, which then multiplies every
    activation anew in each batch. Of ``error`` = 2 values nothing is left but their order: each becomes −1 or 1.
    One finding, at the first such layer.
    """
    small = {name: m for name, m in profile.small_batch_norms.items() if m < limit}
    if not small:
        return
    name, m = next(iter(small.items()))
    least = min(small.values())
    further = f", as in {count(len(small) - 1, 'more layer')}" if len(small) > 1 else ""
    further += f" (over {least} at the least)" if least < m else ""
    yield Finding(
        code="small-batch-norm",
        layer=layer_of(profile, name),
        severity="error" if least <= error else "warning",
        message=f"{name}: batch statistics are taken over {count(m, 'value')} per channel{further}.",
        evidence={"module": name, "values": m, "least": least, "layers": len(small)},
    )
