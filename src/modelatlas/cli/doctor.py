"""`modelatlas doctor`: what is installed, which extras and devices work, what to do about the rest."""

import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import Version

from modelatlas import __version__
from modelatlas.cli import render
from modelatlas.cli.command import AsJson
from modelatlas.fetch import cache_root

__all__ = ["Finding", "doctor"]

_SKIPPED_EXTRAS = {"all", "dev", "docs"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `state` is ok, missing, or problem; `remedy` says what to do about it."""

    subject: str
    state: str
    detail: str
    remedy: str = ""


def _package(requirement: Requirement, *, extra: str | None) -> Finding:
    remedy = f"pip install '{requirement}'" if extra is None else f"pip install 'modelatlas[{extra}]'"
    subject = requirement.name if extra is None else f"{requirement.name} [{extra}]"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(subject, "problem" if extra is None else "missing", "not installed", remedy)
    if not requirement.specifier.contains(Version(version), prereleases=True):
        return Finding(subject, "problem", f"{version}, needs {requirement.specifier}", remedy)
    return Finding(subject, "ok", version)


def _packages() -> list[Finding]:
    findings: dict[str, Finding] = {}
    for text in metadata.requires("modelatlas") or []:
        requirement = Requirement(text)
        extras = [
            extra
            for extra in metadata.metadata("modelatlas").get_all("Provides-Extra") or []
            if requirement.marker is not None
            and requirement.marker.evaluate({"extra": extra})
            and not requirement.marker.evaluate({"extra": ""})
        ]
        if set(extras) <= _SKIPPED_EXTRAS and extras:
            continue
        if requirement.name == "modelatlas":
            continue
        wanted = next((extra for extra in extras if extra not in _SKIPPED_EXTRAS), None)
        finding = _package(requirement, extra=wanted)
        findings.setdefault(requirement.name, finding)
    return sorted(findings.values(), key=lambda finding: ("[" in finding.subject, finding.subject))


def _devices() -> list[Finding]:
    import torch

    found = [Finding("cpu", "ok", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")]
    if torch.cuda.is_available():
        found += [
            Finding(f"cuda:{index}", "ok", torch.cuda.get_device_name(index))
            for index in range(torch.cuda.device_count())
        ]
    else:
        built = torch.version.cuda is not None
        found.append(
            Finding(
                "cuda",
                "missing",
                "torch sees no device" if built else "this torch is a CPU build",
                "" if built else "with an NVIDIA GPU, install a CUDA build of torch (pytorch.org says how)",
            )
        )
    if torch.backends.mps.is_available():
        found.append(Finding("mps", "ok", "Apple GPU"))
    return found


def _torchvision() -> list[Finding]:
    try:
        metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        return []
    from modelatlas.zoo import declare_missing_ops

    declared = declare_missing_ops()
    if declared:
        detail = f"compiled operators do not load beside this torch ({', '.join(declared)} declared by us)"
    else:
        detail = "compiled operators load"
    return [Finding("torchvision operators", "ok", detail)]


def _clients() -> list[Finding]:
    found = []
    for client, remedy in (("npm", "install Node.js for the packaged networks that come from npm"),):
        path = shutil.which(client)
        found.append(
            Finding(client, "ok" if path else "missing", path or "not found", "" if path else remedy)
        )
    return found


def _cache() -> Finding:
    root = cache_root()
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if not os.access(existing, os.W_OK):
        return Finding(
            "cache", "problem", f"{root} cannot be written", "set MODELATLAS_CACHE to a folder that can"
        )
    state, remedy = ("ok", "") if free > 1 else ("problem", "free some disk, or `modelatlas cache --prune`")
    return Finding("cache", state, f"{root}, {free:.1f} GB free", remedy)


def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, which extras and devices work, and what to do about the rest."""
    findings = [*_packages(), *_torchvision(), *_devices(), *_clients(), _cache()]
    if as_json:
        render.document(
            {
                "modelatlas": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "findings": [asdict(finding) for finding in findings],
            }
        )
        return
    render.note(
        f"ModelAtlas {__version__}, Python {platform.python_version()} in {sys.prefix}, {platform.platform()}"
    )
    render.table(
        ["", "state", "", "what to do"],
        [[finding.subject, finding.state, finding.detail, finding.remedy] for finding in findings],
    )
