"""Commands that learn: `python -m minizoo prepare | train | transfer | scores | package`.

Apart from the renderer's commands, since they need torch and the renderer's environment has none; it is
imported only when one of them runs.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

__all__ = ["COMMANDS", "add", "run"]

COMMANDS = ("prepare", "train", "transfer", "scores", "package")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the maker's parser."""
    prepare = commands.add_parser("prepare", help="label the buildings that are rendered, before training")
    prepare.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    prepare.add_argument("--tiny", action="store_true", help="the buildings of the trial recipe")
    train = commands.add_parser(
        "train", help="train the twenty networks; stop it at any time, start it again"
    )
    train.add_argument("--tasks", default="", help="only these, joined by commas (default: all)")
    transfer = commands.add_parser("transfer", help="measure the transfers between trained networks")
    transfer.add_argument("--targets", default="", help="only to these (default: all eighteen)")
    transfer.add_argument("--sources", default="", help="only from these (default: all twenty)")
    scores = commands.add_parser("scores", help="table of the trained networks against what does not look")
    package = commands.add_parser("package", help="write weights, cards and transfers into mini-data")
    for command in (train, transfer):
        command.add_argument("--processes", type=int, default=2, help="of one thread each (default 2)")
        command.add_argument(
            "--minutes", type=float, default=0, help="stop after this long (default: when done)"
        )
    for command in (train, transfer, scores, package):
        command.add_argument(
            "--home",
            type=Path,
            default=None,
            help="where finished work lies (default: mini-data/modelatlas_mini "
            "for what ships, beside the unfinished for other steps, --linear and --tiny)",
        )
        command.add_argument("--steps", type=int, help="of every training (default 2400)")
        command.add_argument("--readout-steps", type=int, default=320, help="of every readout (default 320)")
        command.add_argument(
            "--linear", action="store_true", help="the control: no ReLU at the end of the code"
        )
        command.add_argument("--tiny", action="store_true", help="on the views of the trial recipe")


def run(options: argparse.Namespace) -> int:
    """Run one of the commands."""
    if getattr(options, "processes", 1) > 1:
        return _share(options)
    if options.command == "prepare":
        return _prepare(options)
    import torch

    torch.set_num_threads(1)  # resuming gives the same bytes only with the same number of threads
    place = _workplace(options)
    if options.command == "package":
        from minizoo import package

        print(package.write(place))
        return 0
    if options.command == "scores":
        from minizoo import package

        print(package.table(place))
        return 0
    from minizoo.losses import TARGETS, TASKS
    from minizoo.training import Stopped
    from minizoo.trainings import train_all

    everything = tuple(task.name for task in TASKS)
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    if options.command == "transfer":
        from minizoo.transfers import Transfers

        Transfers(place).measure(
            _names(options.sources, everything), _names(options.targets, TARGETS), deadline=deadline
        )
        return 0
    try:
        train_all(place, _names(options.tasks, everything), deadline=deadline)
    except Stopped as note:
        print(f"{note}; run the same command again to go on", flush=True)
    return 0


def _workplace(options: argparse.Namespace):
    from minizoo.paths import HOME
    from minizoo.readouts import Budget
    from minizoo.training import Course
    from minizoo.worker import Site
    from minizoo.workplace import SPLITS, Workplace, tiny_splits

    site = Site(tiny=options.tiny)
    course = Course(bottleneck="linear" if options.linear else "relu")
    if options.steps is not None:
        course = replace(course, steps=options.steps)
    budget = Budget(steps=options.readout_steps)
    ships = course == Course() and budget == Budget() and not site.tiny
    place = Workplace(
        shards=site.shards,
        home=HOME,
        recipe=site.recipe,
        course=course,
        budget=budget,
        splits=tiny_splits() if options.tiny else SPLITS,
        say=_say,
    )
    return replace(place, home=options.home or (HOME if ships else place.folder / "finished"))


def _prepare(options: argparse.Namespace) -> int:
    from minizoo.labelled import label_buildings
    from minizoo.worker import Site

    site = Site(tiny=options.tiny)
    shards = [path for path in sorted(site.shards.glob("*.zip")) if not path.stem.startswith("probe-")]
    folders = label_buildings(shards, recipe=site.recipe, workers=options.workers, say=_say)
    print(f"{len(folders)} buildings are labelled; run it again when more are rendered")
    return 0


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def _share(options: argparse.Namespace) -> int:
    """Start as many processes with the same words; file locks share the work out."""
    words = [sys.executable, "-m", "minizoo", *sys.argv[1:], "--processes", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    children = [subprocess.Popen(words, env=environment) for _ in range(options.processes)]
    try:
        statuses = [child.wait() for child in children]  # negative where a signal ended one
        return int(any(statuses))
    except KeyboardInterrupt:
        for child in children:
            child.terminate()
        print("stopped; whole epochs and finished transfers are kept: run the same command again", flush=True)
        return 130


def _names(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    from minizoo.errors import MinizooError

    names = tuple(filter(None, text.split(","))) or known
    if unknown := [name for name in names if name not in known]:
        raise MinizooError(f"no task is called {unknown[0]!r}: choose from {', '.join(known)}")
    return names
