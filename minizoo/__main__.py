"""Command line of the maker: `python -m minizoo --help`."""

import argparse
import os
import sys

from minizoo import commands as learning
from minizoo.errors import MinizooError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors that we know are one line and status 1."""
    parser = argparse.ArgumentParser(prog="python -m minizoo", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch and unpack furniture, textures and skies (pinned, checked)")
    render = commands.add_parser("render", help="render what is missing; stop it at any time, start it again")
    render.add_argument("--workers", type=int, default=2, help="processes of one thread each (default 2)")
    render.add_argument(
        "--splits", default="", help="only these, joined by commas: train,transfer,val,test,probe"
    )
    render.add_argument("--minutes", type=float, default=0, help="stop after this long (default: when done)")
    render.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    sheet = commands.add_parser("sheet", help="contact sheets, one PNG per kind of room")
    sheet.add_argument("folder", help="where the sheets go")
    sheet.add_argument("--split", default="", help="only views of this split")
    labels = commands.add_parser("labels", help="all twenty labels of a few views, as one PNG")
    labels.add_argument("file", help="the PNG to write")
    labels.add_argument("--views", type=int, default=3)
    commands.add_parser("status", help="what is there, what is left, and what does not fit")
    commands.add_parser("notice", help="write the attribution of every model and texture used")
    for name in ("render", "sheet", "labels", "status"):
        commands.choices[name].add_argument("--tiny", action="store_true", help="a trial with three rooms")
    learning.add(commands)
    options = parser.parse_args(arguments)
    try:
        return learning.run(options) if options.command in learning.COMMANDS else _run(options)
    except MinizooError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 3 if getattr(options, "worker", False) else 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "fetch":
        from minizoo import assets, sources

        sources.fetch()
        assets.prepare()
        return 0
    if options.command == "notice":
        from minizoo import notice

        print(notice.write())
        return 0
    from minizoo.worker import Site

    site = Site(tiny=options.tiny)
    if options.command == "render":
        return _render(site, options)
    from minizoo import overview

    if options.command == "sheet":
        for path in overview.sheets(site, options.folder, options.split):
            print(path)
        print(overview.poster(site, f"{options.folder}/rooms.webp"))
    elif options.command == "labels":
        print(overview.labels(site, options.file, options.views))
    else:
        print(overview.status(site))
    return 0


def _render(site, options: argparse.Namespace) -> int:
    from minizoo import sources, supervisor, worker

    sources.check()
    if options.worker:
        if not site.tiny:
            os.nice(19)  # hours of work: everything else on the machine goes first
        return worker.work(site, only=tuple(filter(None, options.splits.split(","))))
    return supervisor.run(site, workers=options.workers, splits=options.splits, minutes=options.minutes)


if __name__ == "__main__":
    sys.exit(main())
