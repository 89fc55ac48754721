"""Labels of the finished buildings, computed once a building and laid side by side as a split.

Computing takes most of a second a view, half of it for the two segmentations, so a building's labels are
kept under the digest of its shard and of the code that labels; a split is put together anew whenever
buildings join it.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import filelock
import numpy as np

from minizoo import labels, store
from minizoo.dataset import Views, open_views, write_views
from minizoo.errors import MinizooError, SpoiltViewError
from minizoo.losses import TASKS
from minizoo.paths import CACHE, check_disk
from modelatlas.zoo.architectures.mini import INPUT

__all__ = [
    "LEARNING",
    "NothingRenderedError",
    "arrays",
    "finished",
    "label_buildings",
    "label_shard",
    "prepare",
]

LEARNING = CACHE / "learning"
_COLOUR_SIDE = 32
_EXACT = ("rgb2depth", "rgb2mist")  # a step of float16 is a hundredth of their deviation


class NothingRenderedError(MinizooError):
    """A split has no finished building."""

    def __init__(self, split: str, where: Path) -> None:
        self.split, self.where = split, where
        super().__init__(
            f"{where}: no finished building of the split {split}. Run `python -m minizoo render` first."
        )


def finished(shards: Path, split: str) -> list[str]:
    """Name the buildings of a split that have a shard.

    Raises
    ------
    NothingRenderedError
        There is none.
    """
    found = sorted(path.stem for path in shards.glob(f"{split}-*.zip"))
    if not found:
        raise NothingRenderedError(split, shards)
    return found


def prepare(
    shards: Path,
    split: str,
    buildings: Sequence[str],
    *,
    recipe: str,
    workers: int = 2,
    say: Callable[[str], None] = lambda _: None,
) -> Views:
    """Open a split, computing what labels it lacks.

    Parameters
    ----------
    shards
        Folder of the buildings' zips.
    buildings
        Which of them, in this order.
    recipe
        The views' recipe; shards of another are refused.

    Raises
    ------
    SpoiltViewError, RecipeChangedError
    """
    found = [shards / f"{name}.zip" for name in buildings]
    if gone := [path for path in found if not path.exists()]:
        raise SpoiltViewError(gone[0], "is gone, though trainings have begun with it")
    places = label_buildings(found, recipe=recipe, workers=workers, say=say)
    digest = hashlib.sha256("".join(folder.name for folder in places).encode()).hexdigest()[:12]
    whole = LEARNING / "views" / f"{split}-{digest}"
    with filelock.FileLock(LEARNING / "labels.lock"):
        if not (whole / "views.json").exists():
            _join([open_views(folder) for folder in places], whole)
    return open_views(whole)


def label_buildings(
    shards: Sequence[Path], *, recipe: str, workers: int = 2, say: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Compute what labels these buildings lack, one process at a time; return the folder of each."""
    check_disk(LEARNING)
    code = _code()
    digests = [hashlib.sha256(code.encode() + path.read_bytes()).hexdigest()[:16] for path in shards]
    folders = [LEARNING / "labels" / f"{p.stem}-{d}" for p, d in zip(shards, digests, strict=True)]
    with filelock.FileLock(LEARNING / "labels.lock"):
        missing = [
            (path, folder)
            for path, folder in zip(shards, folders, strict=True)
            if not (folder / "views.json").exists()
        ]
        # Spawned, since forking a process that runs torch's threads may hang.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = {pool.submit(label_shard, path, folder, recipe): path for path, folder in missing}
            for job in as_completed(jobs):
                say(f"labels of {jobs[job].stem}: {job.result()} views")
    return folders


def label_shard(path: Path, folder: Path, recipe: str) -> int:
    """Compute and write the labels of one building; return how many views it has."""
    views = list(store.read_shard(path, recipe))
    if not views:
        raise SpoiltViewError(path, "holds no view")
    made = [arrays(view) for view in views]
    write_views(
        folder,
        names=[view.name for view in views],
        pictures=np.stack([_enlarged(view.picture) for view in views]),
        labels={name: np.stack([row[name] for row in made]) for name in made[0]},
        digest=folder.name,
    )
    return len(views)


def arrays(view: store.View) -> dict[str, np.ndarray]:
    """Return the labels of one view in the form that the losses take."""
    made = labels.compute(view, color_size=_COLOUR_SIDE)
    found: dict[str, np.ndarray] = {}
    for task in (task for task in TASKS if task.target):
        value = made.values[task.target]
        if task.judge == "pairs":
            found[task.target] = value.astype(np.uint8)
        elif task.judge == "classes":
            mask = made.masks.get(task.target, np.True_)
            # Signed first: where(mask, uint8, -1) would say 255.
            classes = np.where(mask, value.astype(np.int16), -1) if task.side else value.argmax()
            found[task.target] = np.asarray(classes, np.int16)
        elif not task.side:
            found[task.target] = value.astype(np.float32)
        else:
            mask = made.masks.get(task.target)
            known = value if mask is None else np.where(mask[..., None], value, np.nan)
            kind = np.float32 if task.target in _EXACT else np.float16
            found[task.target] = np.moveaxis(known, -1, 0).astype(kind)
    return found


def _enlarged(picture: np.ndarray) -> np.ndarray:
    """Repeat the pixels of the trial recipe's smaller views: the networks have one input size."""
    factor = INPUT // len(picture)
    return picture.repeat(factor, 0).repeat(factor, 1)


def _join(parts: Sequence[Views], folder: Path) -> None:
    write_views(
        folder,
        names=[name for part in parts for name in part.names],
        pictures=np.concatenate([part.pictures for part in parts]),
        labels={name: np.concatenate([part.labels[name] for part in parts]) for name in parts[0].labels},
        digest=folder.name,
    )


def _code() -> str:
    """Digest of everything that turns a stored view into labels."""
    here = Path(__file__).parent
    files = [
        *sorted((here / "labels").glob("*.py")),
        here / "kinds.py",
        here / "geometry_code.py",
        here / "labelled.py",
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
