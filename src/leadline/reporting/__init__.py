"""HTML and plots out of plain records: what can be shown can be saved, reloaded and shown again."""

from leadline.reporting import (
    repair_page as repair_page,  # these enter the pages of further records
    simulation_page as simulation_page,
    study_page as study_page,
)
from leadline.reporting.html import report as report
