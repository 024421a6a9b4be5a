"""The report: a run as one self-contained HTML file."""

from evoptim.report.inputs import ReportInputs
from evoptim.report.page import render

__all__ = ["ReportInputs", "render"]
