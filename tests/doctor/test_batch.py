from dataclasses import replace

import pytest
from tests.doctor.synthetic import chain, found

from leadline._core.profile import LayerProfile


@pytest.mark.parametrize(
    ("repeated", "severity"),
    [(0, None), (1, "note"), (5, "note"), (6, "warning"), (49, "warning"), (50, "error"), (99, "error")],
)
def test_repeated_samples_are_judged_by_their_share(repeated, severity):
    profile = chain({"rms": [1.0, 1.0]}, repeated=repeated)
    findings = found(replace(profile, batch=100), "degenerate-batch")
    assert [(finding.layer, finding.severity) for finding in findings] == ([("", severity)] if severity else [])
    assert all(f"{repeated} of the 100 samples" in finding.message for finding in findings)


@pytest.mark.parametrize(("distinction", "count"), [(1e-7, 0), (1e-8, 0), (1e-9, 1)])
def test_samples_that_are_nearly_the_same_are_degenerate(distinction, count):
    inputs = LayerProfile(
        name="input", kind="input", depth=0, role="input", n=32, d=8, metrics={"distinction": distinction}
    )
    assert len(found(chain({"rms": [1.0, 1.0]}, inputs=inputs), "degenerate-batch")) == count


@pytest.mark.parametrize(
    ("values", "severity"), [(2, "error"), (3, "warning"), (7, "warning"), (8, None), (4096, None)]
)
def test_batch_norm_over_few_values_is_judged_by_their_number(values, severity):
    profile = chain({"rms": [1.0, 1.0]}, small_batch_norms={"fc1.norm": values})
    findings = found(profile, "small-batch-norm")
    assert [(finding.layer, finding.severity) for finding in findings] == ([("fc1", severity)] if severity else [])
    assert all(f"fc1.norm: batch statistics are taken over {values} values" in finding.message for finding in findings)


def test_many_small_batch_norms_are_one_finding_at_the_first():
    profile = chain({"rms": [1.0, 1.0]}, small_batch_norms={"fc0.norm": 6, "fc1.norm": 2})
    (finding,) = found(profile, "small-batch-norm")
    assert (finding.layer, finding.severity) == ("fc0", "error")
    assert "as in 1 more layer (over 2 at the least)" in finding.message
