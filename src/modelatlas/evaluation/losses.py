"""Affinities from measured losses, by Taskonomy's analytic hierarchy process (Saaty 1987; Zamir et al. 2018).

For one target, w_ij is the share of test images on which the readout of source i has the smaller loss than
that of source j (a tie counts half), clipped to [.001, .999]. The principal eigenvector of the matrix w_ij
/ w_ji, scaled to sum 1, is the target's column of affinities: unlike raw losses it has no unit, so targets
can be compared.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Float64

from modelatlas.errors import InputError
from modelatlas.evaluation.transfers import TransferTable

__all__ = ["affinities_from_losses", "principal_column", "read_losses", "win_rates"]

CLIP: Final = 0.001


def win_rates(losses: Float[np.ndarray, "source image"]) -> Float64[np.ndarray, "source source"]:
    """Share of images on which the row's source has the smaller loss than the column's; ties count half.

    Returns
    -------
        In [0, 1]; entry [i, j] and entry [j, i] sum to 1, the diagonal is 1/2.
    """
    rates = np.empty((len(losses), len(losses)))
    for i, loss in enumerate(losses):
        rates[i] = ((loss < losses) + 0.5 * (loss == losses)).mean(axis=1)
    return rates


def principal_column(rates: Float64[np.ndarray, "source source"]) -> Float64[np.ndarray, " source"]:
    """Affinities of the sources with one target: positive, summing to 1."""
    clipped = np.clip(rates, CLIP, 1 - CLIP)
    values, vectors = np.linalg.eig(clipped / clipped.T)
    # A positive matrix has one eigenvector of one sign, that of its largest eigenvalue (Perron).
    principal = np.abs(vectors[:, np.argmax(values.real)].real)
    return np.asarray(principal / principal.sum())


def affinities_from_losses(
    losses: Mapping[str, Float[np.ndarray, "source image"]],
    *,
    sources: Mapping[str, Sequence[str]] | Sequence[str],
    origin: str = "losses",
) -> TransferTable:
    """Affinities of sources with targets from the losses that their readouts had on the targets' test images.

    Parameters
    ----------
    losses
        For each target one row a source, one column a test image, the same images for all its sources;
        finite, lower is better, any unit.
    sources
        Names of the rows: one list for all targets, or one for each.

    Raises
    ------
    InputError
        A shape does not fit the names, there are no images, or a loss is not finite.
    """
    pairs: dict[tuple[str, str], float] = {}
    for target, table in losses.items():
        names = sources[target] if isinstance(sources, Mapping) else sources
        if table.ndim != 2 or len(table) != len(names) or table.shape[1] == 0:
            raise InputError(
                f"{origin}: losses of {target!r} have the shape {table.shape}: "
                f"give one row for each of {len(names)} sources and one column an image"
            )
        if not np.isfinite(table).all():
            raise InputError(f"{origin}: a loss of {target!r} is not finite: leave that image out")
        for name, value in zip(names, principal_column(win_rates(table)), strict=True):
            pairs[name, target] = float(value)
    order = list(dict.fromkeys(source for source, _ in pairs))
    return TransferTable.from_pairs(pairs, origin=origin, order=order)


def read_losses(path: Path | str) -> TransferTable:
    """Affinities from a CSV file of losses with the columns `target`, `source`, `image`, `loss`.

    Raises
    ------
    InputError
        The file cannot be read, a column is missing, a loss is no finite number, a row stands twice, or the
        sources of a target were not tested on the same images; the message names file and row.
    """
    path = Path(path)
    found: dict[str, dict[str, dict[str, float]]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            if not {"target", "source", "image", "loss"} <= set(reader.fieldnames or ()):
                raise InputError(f"{path}: row 1: losses need the columns target, source, image, loss")
            for row in reader:
                place = f"{path}: row {reader.line_num}"
                images = found.setdefault(row["target"], {}).setdefault(row["source"], {})
                if row["image"] in images:
                    raise InputError(
                        f"{place}: a second loss of {row['source']!r} on image {row['image']!r}: keep one"
                    )
                images[row["image"]] = _loss(place, row["loss"])
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}): save it as UTF-8 CSV") from error
    if not found:
        raise InputError(f"{path}: a header and no losses: add one row for each target, source and image")
    return affinities_from_losses(
        {target: _matrix(path, target, rows) for target, rows in found.items()},
        sources={target: list(rows) for target, rows in found.items()},
        origin=str(path),
    )


def _loss(place: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{place}: the loss is {text!r}, not a finite number: leave that image out")
    return value


def _matrix(
    path: Path, target: str, rows: Mapping[str, Mapping[str, float]]
) -> Float64[np.ndarray, "source image"]:
    images = list(next(iter(rows.values())))
    for source, losses in rows.items():
        if different := set(losses) ^ set(images):
            raise InputError(
                f"{path}: {target!r}: image {min(different)!r} was not tested by all sources "
                f"(see {source!r}): win rates need the same images"
            )
    return np.array([[losses[image] for image in images] for losses in rows.values()])
