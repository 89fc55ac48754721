"""The journal: what fixes each model's numbers, and which of its maps are done.

The order of writes is what makes a run resumable: a model's record, then maps, then the mark of their
shard. A mark without its maps therefore means that somebody removed them; they count as not done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelatlas.errors import StoreError
from modelatlas.store.document import read_json, write_json
from modelatlas.store.files import remove
from modelatlas.store.layout import Layout, model_key

__all__ = ["Journal", "Mark"]


@dataclass(frozen=True)
class Mark:
    """What is done of one shard of a model's images.

    Attributes
    ----------
    images
        SHA-256 of the shard's images, in order, as far as any method is done.
    done
        Method -> number of images, counted from the shard's first, whose maps are stored.
    fingerprints
        Method -> fingerprint of all that fixes these maps.
    seconds
        Spent on them so far.
    """

    images: tuple[str, ...] = ()
    done: Mapping[str, int] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def done_of(self, images: Sequence[str], fingerprints: Mapping[str, str]) -> dict[str, int]:
        """Count, per method, the images done whose maps are of these images and have these fingerprints."""
        if not _agree(self.images, images):
            return {}
        return {
            method: self.done[method]
            for method, fingerprint in fingerprints.items()
            if self.fingerprints.get(method) == fingerprint
        }

    def extended(
        self, *, images: Sequence[str], count: int, fingerprints: Mapping[str, str], seconds: float
    ) -> "Mark":
        """Mark, beside what it marks now, the first `count` images as done by some methods."""
        kept = self if _agree(self.images, images) else Mark(seconds=self.seconds)
        return Mark(
            images=max(kept.images, tuple(images), key=len),
            done={**kept.done, **dict.fromkeys(fingerprints, count)},
            fingerprints={**kept.fingerprints, **fingerprints},
            seconds=kept.seconds + seconds,
        )


def _agree(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether one is the beginning of the other."""
    return all(one == other for one, other in zip(first, second, strict=False))


class Journal:
    """The journal of one model.

    Parameters
    ----------
    root
        The atlas folder.
    key
        The model's folder name.
    """

    def __init__(self, root: Path, key: str) -> None:
        self._folder = Layout(root).journal / key

    @classmethod
    def of(cls, root: Path, model: str) -> "Journal":
        """Journal of the model of that name."""
        return cls(root, model_key(model))

    def record(self) -> dict[str, Any] | None:
        """Read what fixed the model's numbers when it started; None where it never did.

        Raises
        ------
        StoreError
            The record is damaged.
        """
        path = self._folder / "model.json"
        return (
            read_json(path, remedy=f"remove {self._folder} to have this model charted anew")
            if path.is_file()
            else None
        )

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write, or replace, the model's record."""
        write_json(self._folder / "model.json", record)

    def forget(self) -> None:
        """Remove marks and record: the model is charted anew."""
        for path in sorted(self._folder.glob("*.json")):  # shards before model.json
            remove(path)

    def marks(self) -> dict[int, Mark]:
        """Shard -> its mark. A mark that cannot be read counts as not there: its images are charted again."""
        found = {}
        for path in sorted(self._folder.glob("[0-9]*.json")):
            try:
                content = read_json(path, remedy="")
                found[int(path.stem)] = Mark(**content | {"images": tuple(content["images"])})
            except (StoreError, KeyError, ValueError, TypeError):
                continue
        return found

    def write_mark(self, shard: int, mark: Mark) -> None:
        """Write, or replace, the mark of a shard, after its maps."""
        write_json(self._folder / f"{shard:06d}.json", asdict(mark))
