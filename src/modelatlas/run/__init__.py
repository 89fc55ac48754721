"""Runs: plan, engines, one model's work, results. Writes an atlas folder; prints nothing."""

from modelatlas.run.chart_maps import EngineMaker, RunResult, chart_maps
from modelatlas.run.engines import ApartEngine, Engine, HereEngine
from modelatlas.run.events import Event, Progress, silent
from modelatlas.run.measure import Measured, measure_models, peak_memory
from modelatlas.run.settings import PRECISIONS, Settings

__all__ = [
    "PRECISIONS",
    "ApartEngine",
    "Engine",
    "EngineMaker",
    "Event",
    "HereEngine",
    "Measured",
    "Progress",
    "RunResult",
    "Settings",
    "chart_maps",
    "measure_models",
    "peak_memory",
    "silent",
]
