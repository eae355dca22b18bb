import pytest
from tests.doctor.models import HEALTHY

import leadline


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_network_has_no_error(name):
    model, inputs, targets = HEALTHY[name]()
    diagnosis = leadline.diagnose(leadline.profile(model, inputs, targets))
    assert [str(f.message) for f in diagnosis.findings if f.severity == "error"] == []
