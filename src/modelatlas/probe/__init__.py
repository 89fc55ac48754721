"""Probes: sets of unlabelled images that every model is shown."""

from modelatlas.probe.build import build_probe
from modelatlas.probe.builtin import builtin_probes
from modelatlas.probe.fetching import fetch_published
from modelatlas.probe.opening import open_probe
from modelatlas.probe.probe import Batch, LeftOut, Probe, ProbeImage, Progress, batches
from modelatlas.probe.published import OnDisk, data_folder, published_probes
from modelatlas.probe.texture import Texture, probe_texture

__all__ = [
    "Batch",
    "LeftOut",
    "OnDisk",
    "Probe",
    "ProbeImage",
    "Progress",
    "Texture",
    "batches",
    "build_probe",
    "builtin_probes",
    "data_folder",
    "fetch_published",
    "open_probe",
    "probe_texture",
    "published_probes",
]
