"""`chart`: the main job in one call. Run, then figures and report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelatlas._types import METHODS
from modelatlas.atlas import Atlas, open_atlas
from modelatlas.errors import IncompleteError, InputError
from modelatlas.probe import Probe, open_probe
from modelatlas.run import ApartEngine, EngineMaker, Event, Progress, Settings, chart_maps, silent
from modelatlas.space.matrix import unique_names
from modelatlas.zoo import ModelSpec, Zoo, ZooEntry, read_zoo

__all__ = ["as_settings", "as_zoo", "chart", "opened_probe"]


def chart(
    zoo: str | Path | Zoo | Sequence[str],
    probe: str | Path | Probe,
    out: str | Path,
    *,
    methods: Sequence[str] = METHODS,
    images: int | None = None,
    seed: int = 0,
    grid: int = 64,
    layer: str | None = None,
    epsilon: float = 1e-4,
    batch: int | str = "auto",
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
    similarity: str = "cosine",
    linkage: str = "single",
    patience: float = 3600.0,
    exclude: Sequence[str] = (),
    strict: bool = False,
    trust_code: bool = False,
    until: float | None = None,
    engine: EngineMaker = ApartEngine,
    progress: Progress = silent,
) -> Atlas:
    """Attribute, compare, cluster and draw the models of a zoo; mirrors `modelatlas chart`.

    In a folder that holds an atlas it goes on: what is there is not computed again.

    Parameters
    ----------
    zoo
        A built-in zoo's name, a zoo file, specs joined by commas or in a list, or a `Zoo`.
    probe
        A built-in probe's name, a folder of images, a manifest, or a `Probe`.
    out
        The atlas folder.
    methods
        Attribution methods; all three by default.
    images
        How many probe images, from the first on; all by default.
    seed
        Of the order of the probe's images.
    grid
        Cells along each axis of a map.
    layer
        Target layer (dotted) of a single model.
    epsilon
        The eps of epsilon-lrp.
    batch
        Images a pass, 1 to 32, or "auto".
    device
        "auto", "cpu", "cuda", ...
    precision
        "float32", "float64", "bf16" (products in bfloat16), or "auto": bf16 for each model where a check of
        its first maps against float32 holds.
    threads
        Of torch.
    similarity
        Of two maps of an image: "cosine", as in the paper, or "correlation" (over the cells; of signed maps
        without sign, less its level of chance), which agrees better with measured transfers. Another one
        compares anew what is there.
    linkage
        Of the tree: single, complete, average, weighted, ward.
    patience
        Seconds after which a model that neither loads nor finishes a batch is left out.
    exclude
        Names of models to leave alone.
    strict
        Raise at the end if a model or an image was left out.
    trust_code
        Allow models that bring code of their own.
    until
        Draw images, a prefix of the probe, only until half the width of every affinity's 95 % interval is at
        most this.
    engine
        `run.ApartEngine` charts in a worker process, `run.HereEngine` in this one.
    progress
        Called with every `run.Event`.

    Returns
    -------
        The atlas, with figures and report.

    Raises
    ------
    InputError
        Wrong input, a conflict with what is in the folder (`ConflictError`), or another writer
        (`LockedError`); nothing was run or written.
    IncompleteError
        No model could be charted; with `strict`, something was left out.
    StoreError
        The folder cannot be read or written.

    Examples
    --------
    >>> atlas = chart("demo", "photos", "my-atlas", images=60)            # doctest: +SKIP
    >>> atlas.rank("efficientnet-lite0").head()                           # doctest: +SKIP
    """
    settings = as_settings(
        methods=methods,
        seed=seed,
        grid=grid,
        epsilon=epsilon,
        batch=batch,
        device=device,
        precision=precision,
        threads=threads,
        similarity=similarity,
        linkage=linkage,
        patience=patience,
    )
    chosen = as_zoo(zoo)
    opened = opened_probe(probe, images=images, seed=seed, progress=progress)
    folder = Path(out)
    result = chart_maps(
        chosen,
        opened,
        folder,
        settings,
        exclude=exclude,
        layer=layer,
        trust_code=trust_code,
        until=until,
        engine=engine,
        progress=progress,
    )
    atlas = open_atlas(folder)
    if result.charted:
        from modelatlas.report import draw_figures, write_report  # matplotlib, only now

        draw_figures(atlas, folder)
        write_report(atlas, folder)
    if not result.charted or (strict and (result.excluded or result.left_out)):
        raise IncompleteError(result.charted, excluded=result.excluded, left_out=result.left_out)
    return atlas


def as_settings(*, methods: Sequence[str], batch: int | str, **others: Any) -> Settings:
    """Make settings of options, where a batch may be "auto"."""
    if isinstance(methods, str):  # would be taken letter by letter
        raise InputError(f"methods is the text {methods!r}: give a list, as in methods=[{methods!r}]")
    if batch != "auto" and not isinstance(batch, int):
        raise InputError(f"batch {batch!r}: give a number of images, or auto")
    return Settings(batch=None if batch == "auto" else int(batch), methods=tuple(methods), **others)


def opened_probe(probe: str | Path | Probe, *, images: int | None, seed: int, progress: Progress) -> Probe:
    """Open a probe, or take the first images of an opened one."""
    if isinstance(probe, Probe):
        return probe if images is None else probe.take(images)

    def show(stage: str, done: int, total: int) -> None:
        progress(Event("probe", detail=stage, done=done, total=total))

    opened = open_probe(probe, images=images, seed=seed, progress=show)
    if images is not None and len(opened) < images:
        progress(Event("fewer", done=len(opened), total=images))
    return opened


def as_zoo(zoo: str | Path | Zoo | Sequence[str]) -> Zoo:
    """Read a zoo, or make one of specs."""
    if isinstance(zoo, Zoo):
        return zoo
    if isinstance(zoo, str | Path):
        return read_zoo(zoo)
    entries = tuple(ZooEntry(name=spec, spec=ModelSpec.parse(spec)) for spec in zoo)
    unique_names([entry.name for entry in entries])
    return Zoo(name="specs", entries=entries)
