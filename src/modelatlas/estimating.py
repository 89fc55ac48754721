"""`chart --estimate`: time, memory and disk of a run, from a short run of the same kind.

A few batches of every model are charted into a folder that is thrown away, then compared, drawn and
reported as a whole run would be. Time and disk grow with the images; start, loading, figures and report do
not.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelatlas.atlas import open_atlas
from modelatlas.charting import as_zoo, opened_probe
from modelatlas.probe import Probe
from modelatlas.run import (
    Event,
    HereEngine,
    Measured,
    Progress,
    Settings,
    chart_maps,
    measure_models,
    peak_memory,
    silent,
)
from modelatlas.zoo import Zoo

__all__ = ["Estimate", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    images
        Of the probe.
    models
        Every model: what was measured of it.
    compare_seconds
        Affinities, intervals and trees of all methods.
    report_seconds
        Figures and report.
    memory
        Most bytes at a time, of this process and its worker together.
    disk
        Bytes that the atlas will grow by.
    measuring_seconds
        What this estimate took.
    """

    images: int
    models: tuple[Measured, ...]
    compare_seconds: float
    report_seconds: float
    memory: int
    disk: int
    measuring_seconds: float

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(model.seconds for model in self.models) + self.compare_seconds + self.report_seconds

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the sum included."""
        models = [asdict(model) | {"seconds": model.seconds} for model in self.models]
        return {"seconds": self.seconds} | asdict(self) | {"models": models}


def estimate(
    zoo: str | Path | Zoo | Sequence[str],
    probe: str | Path | Probe,
    out: str | Path,
    settings: Settings,
    *,
    images: int | None = None,
    exclude: Sequence[str] = (),
    layer: str | None = None,
    trust_code: bool = False,
    progress: Progress = silent,
) -> Estimate:
    """Estimate what `chart` with the same words will take on this machine as it is now.

    Parameters
    ----------
    out
        The atlas that the run would make or go on in; it is only read.

    Raises
    ------
    InputError
        As `chart`.
    """
    began = time.perf_counter()
    chosen, opened = as_zoo(zoo), opened_probe(probe, images=images, seed=settings.seed, progress=progress)
    words: dict[str, Any] = {"exclude": exclude, "layer": layer, "trust_code": trust_code}
    with tempfile.TemporaryDirectory(prefix="modelatlas-") as temporary:
        scratch = Path(temporary, "atlas")
        models = measure_models(chosen, opened, Path(out), scratch, settings, progress=progress, **words)
        running = [model for model in models if model.images]
        if not running:
            return Estimate(
                len(opened), tuple(models), 0.0, 0.0, peak_memory(), 0, time.perf_counter() - began
            )
        words["exclude"] = [*exclude, *(model.model for model in models if not model.images)]
        few = min(model.images for model in running)
        maps = _bytes(scratch / "maps.zarr") + _bytes(scratch / "journal")
        compare = _compare_seconds(chosen, opened.take(few), scratch, settings, words)
        report = _timed(lambda: _report(scratch))
        fixed = sum(_bytes(scratch / name) for name in ("figures", "report.html", "thumbnails.npz"))
    growth = sum(model.left for model in running) / sum(model.images for model in running)
    return Estimate(
        images=len(opened),
        models=tuple(models),
        compare_seconds=compare * len(opened) / few,
        report_seconds=report,
        memory=peak_memory(),
        disk=round(maps * growth) + fixed,
        measuring_seconds=time.perf_counter() - began,
    )


def _compare_seconds(
    zoo: Zoo, probe: Probe, scratch: Path, settings: Settings, words: dict[str, Any]
) -> float:
    """Seconds of comparing the maps that are charted already."""
    starts: list[float] = []

    def note(event: Event) -> None:
        if event.kind == "comparing":
            starts.append(time.perf_counter())

    chart_maps(zoo, probe, scratch, settings, engine=HereEngine, progress=note, **words)
    return time.perf_counter() - starts[0]


def _report(scratch: Path) -> None:
    from modelatlas.report import draw_figures, write_report  # matplotlib, only now

    atlas = open_atlas(scratch)
    draw_figures(atlas, scratch)
    write_report(atlas, scratch)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
