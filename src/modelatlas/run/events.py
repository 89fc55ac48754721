"""What a run tells while it goes on; `cli` shows it, nothing here prints."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Event", "Kind", "Progress", "silent"]

Kind = Literal[
    "probe", "fewer", "planned", "loading", "started", "images", "halved", "finished", "excluded", "comparing"
]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes
    ----------
    kind
        `probe`: the probe is being opened, `done` of its `total` files, at the stage `detail`. `fewer`: it
        has only `done` of the `total` images that were asked for. `planned`: once; `done` of `total` maps
        (images times models) are there already; `detail` names the stage where it is not charting. `loading`,
        `started`, `finished`, `excluded`: of a model. `images`: `done` of its `total` images. `halved`:
        memory ran out, or so it looks; `batch` is smaller now. `comparing`: affinity of method `detail`.
    model
        Its name; empty where the event is of no model.
    done, total
        Counts; 0 where there is nothing to count.
    batch
        Images a pass of a started model.
    seconds
        What a finished model took, all runs together.
    detail
        Target layer of a started model; reason of an exclusion; method that is compared.
    trace
        Of an exclusion by an error: its traceback, for who asks for details.
    """

    kind: Kind
    model: str = ""
    done: int = 0
    total: int = 0
    batch: int = 0
    seconds: float = 0.0
    detail: str = ""
    trace: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values: `Event(**values)` gives the event back."""
        return asdict(self)


Progress = Callable[[Event], None]


def silent(event: Event) -> None:
    """Ignore what happens."""
