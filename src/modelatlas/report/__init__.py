"""Atlas -> the paper's figures and one self-contained page. Knows no models, no torch, no runs."""

from modelatlas.report.figures import draw_figures, draw_maps
from modelatlas.report.page import write_report

__all__ = ["draw_figures", "draw_maps", "write_report"]
