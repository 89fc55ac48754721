"""Small networks, pictures and charts for the tests of runs; `python:chartable:<name>` in a spec."""

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from modelatlas.probe import open_probe
from modelatlas.run import EngineMaker, Event, HereEngine, RunResult, Settings, chart_maps, silent
from modelatlas.zoo import Preprocess, Zoo, read_zoo

SIDE = 16
GRID = 8


def network(seed: int, nonlinearity: Callable[[], nn.Module] = nn.ReLU) -> tuple[nn.Module, Preprocess]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nonlinearity(), nn.Conv2d(6, 4, 3, stride=2), nonlinearity()
        )
    return layers.eval(), Preprocess(height=SIDE, width=SIDE)


def relu() -> Any:
    return network(1)


def gelu() -> Any:
    return network(2, nn.GELU)


def silu() -> Any:
    return network(3, nn.SiLU)


class Odd(nn.Module):
    """A network that does something to its input's batch, or to its output, that others do not."""

    def __init__(self, before: Callable[[Tensor], None] = lambda x: None, after: Any = lambda y: y) -> None:
        super().__init__()
        self.body, _ = network(4)
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Any:
        self.before(x)
        return self.after(self.body(x))


def odd(**how: Any) -> Any:
    return Odd(**how).eval(), Preprocess(height=SIDE, width=SIDE)


def pair() -> Any:
    return odd(after=lambda y: (y, y.mean()))


def mapping() -> Any:
    return odd(after=lambda y: {"features": y, "name": "odd"})


class Vanishing(nn.Module):
    """NaN before the first layer, so that no layer has finite maps."""

    def __init__(self) -> None:
        super().__init__()
        self.body, _ = network(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x * torch.nan)


def vanishing() -> Any:
    return Vanishing().eval(), Preprocess(height=SIDE, width=SIDE)


def raising() -> Any:
    def fail(x: Tensor) -> None:
        raise ZeroDivisionError("something of the network's own")

    return odd(before=fail)


def talking() -> Any:
    print("made")
    return relu()


def exiting() -> Any:
    return odd(before=lambda x: sys.exit("enough"))


def leaving() -> Any:
    print("last words")
    os._exit(7)


def faulting() -> Any:
    return odd(before=lambda x: ctypes.string_at(0))


def hungry() -> Any:
    """Four images fit, more do not."""

    def eat(x: Tensor) -> None:
        if len(x) > 4:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"
            )

    return odd(before=eat)


def starving() -> Any:
    def eat(x: Tensor) -> None:
        raise MemoryError

    return odd(before=eat)


def unprintable() -> Any:
    raise ValueError("cannot read mod\udce9le.pt")


def drawing() -> Any:
    """Masks what it sees at random, as masked autoencoders do."""

    def mask(x: Tensor) -> None:
        x *= torch.rand_like(x) > 0.5

    return odd(before=mask)


def greedy() -> Any:
    """Changes what all networks of the process share."""
    torch.set_default_dtype(torch.float64)
    torch.nn.functional.relu = torch.nn.functional.softplus
    return relu()


def wandering() -> Any:
    os.chdir("/")
    return relu()


def forking() -> Any:
    """Leaves a child behind that holds its pipes, and dies."""
    if os.fork() == 0:
        time.sleep(3600)
    os._exit(3)


def closing() -> Any:
    os.closerange(3, 4096)
    return relu()


def holding() -> Any:
    """Holds Python's lock for more than one image: no other thread runs."""
    return odd(before=lambda x: ctypes.PyDLL(None).sleep(3600 * (len(x) > 1)))


def slow() -> Any:
    """Slow enough to be caught in the middle."""
    return odd(before=lambda x: time.sleep(0.3))


def hanging() -> Any:
    """Never comes back from more than one image."""
    return odd(before=lambda x: time.sleep(3600 * (len(x) > 1)))


def killed() -> Any:
    """As when the kernel ends a process whose memory ran out: four images fit, more do not."""

    def die(x: Tensor) -> None:
        if len(x) > 4:
            os.kill(os.getpid(), signal.SIGKILL)

    return odd(before=die)


def write_pictures(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Smooth random pictures, `count` of them, in a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        cells = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        cells.resize((24, 24), Image.Resampling.BILINEAR).save(folder / f"{number:03d}.png")
    return folder


def zoo_of(*names: str) -> Zoo:
    return read_zoo(",".join(f"python:chartable:{name}" for name in names))


def spec(name: str) -> str:
    return f"python:chartable:{name}"


def chart_small(
    out: Path,
    pictures: Path,
    *models: str,
    images: int | None = None,
    engine: EngineMaker = HereEngine,
    events: list[Event] | None = None,
    seed: int = 0,
    until: float | None = None,
    **settings: Any,
) -> RunResult:
    """Chart networks of this module, by one thread."""
    options = {"grid": GRID, "threads": 1, "seed": seed, **settings}
    return chart_maps(
        zoo_of(*models),
        open_probe(pictures, images=images, seed=seed),
        out,
        Settings(**options),
        trust_code=True,
        until=until,
        engine=engine,
        progress=silent if events is None else events.append,
    )


def images_computed(events: Sequence[Event]) -> dict[str, int]:
    """Model -> images that a run computed maps of, from its events."""
    counts: dict[str, int] = {}
    before: dict[str, int] = {}
    for event in events:
        if event.kind == "started":
            before[event.model] = event.done
        elif event.kind == "images":
            counts[event.model] = counts.get(event.model, 0) + event.done - before[event.model]
            before[event.model] = event.done
    return {model.rpartition(":")[2]: count for model, count in counts.items()}


def results(out: Path) -> dict[str, bytes]:
    """Path below the atlas folder -> bytes, of all affinities and trees."""
    files = sorted([*(out / "affinity").iterdir(), *(out / "tree").iterdir()])
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk: no file grows beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
