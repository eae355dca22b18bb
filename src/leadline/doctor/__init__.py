"""From a profile to words: rules that find what is wrong, theory beside them, and how deep a design carries."""

from leadline.doctor._diagnose import diagnose as diagnose
from leadline.doctor.changes import Alternative as Alternative, WhatIf as WhatIf, what_if as what_if
from leadline.doctor.depth import depth_limit as depth_limit
from leadline.doctor.design import Design as Design, recognise as recognise
from leadline.doctor.expectations import predict as predict
from leadline.doctor.registry import Rule as Rule, known_rules as known_rules
from leadline.doctor.repairs import Repair as Repair, repair as repair
