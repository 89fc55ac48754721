"""The measured transfers of the mini-Taskonomy, which the package `modelatlas-mini` ships.

`all`: every target, all test views. `again`: some targets, by readouts of a second seed. `half-a` and
`half-b`: all targets, each by one half of the test rooms. The last three say how far the choice of test views
and the readout's seed alone move the measurements: a noise ceiling for predictions. The networks themselves
were trained once.
"""

from typing import Final

from modelatlas.errors import InputError
from modelatlas.evaluation.transfers import TransferTable, read_transfers
from modelatlas.fetch import mini_data

__all__ = ["MINI_SETS", "mini_transfers"]

MINI_SETS: Final = ("all", "again", "half-a", "half-b")


def mini_transfers(measured: str = "all") -> TransferTable:
    """Transfer affinities between the twenty networks of the mini-Taskonomy.

    Parameters
    ----------
    measured
        One of `MINI_SETS`.

    Raises
    ------
    InputError
        No such set.
    MissingExtraError
        The data is not installed.
    """
    if measured not in MINI_SETS:
        raise InputError(f"mini:{measured}: no such set of measurements: take one of {', '.join(MINI_SETS)}")
    path = mini_data(needed_for="the reference mini") / "transfers" / "affinities.csv"
    table = read_transfers(path, training_set=measured)
    return TransferTable(f"mini:{measured}", table.sources, table.targets, table.values)
