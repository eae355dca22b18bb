"""HTML and plots out of plain records: what can be shown can be saved, reloaded and shown again."""

from leadline.reporting.html import report as report
