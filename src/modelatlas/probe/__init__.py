"""Probes: sets of unlabelled images that every model is shown."""

from modelatlas.probe.build import build_probe
from modelatlas.probe.builtin import builtin_probes
from modelatlas.probe.opening import open_probe
from modelatlas.probe.probe import Batch, LeftOut, Probe, ProbeImage, Progress, batches

__all__ = [
    "Batch",
    "LeftOut",
    "Probe",
    "ProbeImage",
    "Progress",
    "batches",
    "build_probe",
    "builtin_probes",
    "open_probe",
]
