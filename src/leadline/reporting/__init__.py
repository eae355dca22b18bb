"""HTML and plots out of plain records: what can be shown can be saved, reloaded and shown again."""

from leadline.reporting import repair_page as repair_page  # enters the page of a repair
from leadline.reporting.html import report as report
