"""Entry point of the `modelatlas` command: Ctrl-C is no traceback from the first moment on."""

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Load the commands, and run the one asked for."""
    try:
        from modelatlas.cli import app

        app.main()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.stderr.flush()
        os._exit(130)  # a second Ctrl-C while Python cleans up would be a traceback again
