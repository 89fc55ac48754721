"""An atlas in a user's hand: read-only, cheap to open, tables as DataFrames.

>>> atlas = open_atlas("my-atlas")                                        # doctest: +SKIP
>>> atlas.rank("timm:resnet18.a1_in1k").head(3)                           # doctest: +SKIP
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float16, UInt8

from modelatlas._types import DEFAULT_METHOD
from modelatlas.errors import IncompleteError, InputError, StoreError
from modelatlas.probe import LeftOut
from modelatlas.space import Affinity, Tree, dead_maps, rank, tree
from modelatlas.store import (
    Layout,
    MapReader,
    explained,
    model_key,
    read_document,
    read_json,
    read_long,
    read_square,
    read_thumbnails,
)

__all__ = ["UNTRAINED", "Atlas", "ModelRecord", "open_atlas"]

UNTRAINED: Final = " (untrained)"
"""Mark behind the name of a model with untrained weights, wherever it is shown."""

_FEW: Final = 3
"""Names that a message lists whole, or gives of more."""


@dataclass(frozen=True)
class ModelRecord:
    """What an atlas says of one of its models.

    Attributes
    ----------
    name, spec
        As it stands in tables, and as it is loaded.
    status
        `charted`, or `excluded` for the `reason`.
    trained
        False: untrained weights, drawn from a seed.
    task, group, licence, citation
        Of its card, or the zoo file; None where nobody says.
    layer, layer_reason
        Target layer, and why that one; None where it was not charted, like all that follows.
    input_size
        Height and width in pixels.
    live
        Method -> number of images on which its map is alive.
    seconds
        That its maps took, all runs together.
    parameters
        Trainable weights.
    batch
        Images a pass.
    details
        All that `atlas.json` says of it.
    """

    name: str
    spec: str
    status: str
    trained: bool
    reason: str | None = None
    task: str | None = None
    group: str | None = None
    licence: str | None = None
    citation: str | None = None
    layer: str | None = None
    layer_reason: str | None = None
    input_size: tuple[int, int] | None = None
    live: Mapping[str, int] | None = None
    seconds: float | None = None
    parameters: int | None = None
    batch: int | None = None
    details: Mapping[str, Any] | None = None

    @property
    def charted(self) -> bool:
        """Whether it is in the matrices."""
        return self.status == "charted"


class Atlas:
    """A folder that `modelatlas chart` wrote. Nothing here writes to it.

    Attributes
    ----------
    path
        The folder.
    document
        `atlas.json` as plain values.
    """

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self.path = path
        self.document = document
        self._layout = Layout(path)
        self._tables: dict[Path, pd.DataFrame] = {}

    def __repr__(self) -> str:
        """Name the folder and how much is in it."""
        counts = f"{len(self.names)} models, {len(self.images())} images"
        return f"<Atlas {self.path}: {counts}, {', '.join(self.methods)}>"

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it was made with: methods, images, grid, epsilon, seed, precision, similarity, ..."""
        return dict(self.document["settings"])

    @property
    def methods(self) -> tuple[str, ...]:
        """Attribution methods, in the order they were asked for."""
        return tuple(self.document["settings"]["methods"])

    @property
    def default_method(self) -> str:
        """Method that a command takes where none is given: gradient-x-input, or the only one there is."""
        return self.methods[0] if len(self.methods) == 1 else DEFAULT_METHOD

    @property
    def similarity(self) -> str:
        """Of two maps: `cosine`, as all atlases were compared before there was a choice, or `correlation`."""
        return str(self.document["settings"].get("similarity", "cosine"))

    def basis(self, method: str) -> str:
        """Say what an affinity rests on: the method, and the similarity where it is not the paper's."""
        return method if self.similarity == "cosine" else f"{method}, {self.similarity}"

    @cached_property
    def models(self) -> tuple[ModelRecord, ...]:
        """Models in the zoo's order, those that were left out included."""
        known = ModelRecord.__dataclass_fields__
        records = []
        for name, values in self.document["models"].items():
            parts = {key: value for key, value in values.items() if key in known}
            if parts.get("input_size") is not None:
                parts["input_size"] = tuple(parts["input_size"])
            records.append(ModelRecord(name=name, details=values, **parts))
        return tuple(records)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the charted models: rows and columns of the matrices."""
        return tuple(model.name for model in self.models if model.charted)

    @property
    def untrained(self) -> frozenset[str]:
        """Names of the charted models with untrained weights."""
        return frozenset(model.name for model in self.models if model.charted and not model.trained)

    def label(self, name: str) -> str:
        """Name of a model as it is shown: with a mark where its weights are untrained."""
        return name + UNTRAINED if name in self.untrained else name

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Files of the probe that were not used."""
        return tuple(LeftOut(**item) for item in self.document["left_out"])

    def images(self) -> tuple[str, ...]:
        """Ids of the probe images, in manifest order."""
        return tuple(self.document["probe"]["images"])

    def affinity(self, method: str = DEFAULT_METHOD) -> pd.DataFrame:
        """Affinity of every pair of charted models: rows are sources, columns are targets; 1 on the diagonal.

        Raises
        ------
        InputError
            The atlas has no such method.
        IncompleteError
            No model could be charted.
        StoreError
            The table is missing or damaged, or a run that did not finish was replacing it.
        """
        return self._table(self._layout.affinity(self._result(method)), read_square)

    def interval(self, method: str = DEFAULT_METHOD) -> pd.DataFrame:
        """Long table: `source`, `target`, `affinity`, `low`, `high` (95 %); errors as `affinity`."""
        read = partial(read_long, models=self.names)
        return self._table(self._layout.interval(self._result(method)), read)

    def tree(self, method: str = DEFAULT_METHOD) -> Tree:
        """Task-similarity tree of at least two models; errors as `affinity`."""
        return tree(Affinity.from_frame(self.affinity(method)), linkage=self.settings["linkage"])

    def rank(self, target: str, method: str = DEFAULT_METHOD, top: int | None = None) -> pd.DataFrame:
        """Rank the other models as sources for `target`, best first.

        Parameters
        ----------
        target
            Name of a charted model.
        method
            Whose affinity.
        top
            How many sources; all by default.

        Returns
        -------
            Columns `source`, `affinity`, `low`, `high`.

        Raises
        ------
        InputError
            No such model or method; near names are offered.
        """
        self._charted(target)
        best = rank(Affinity.from_frame(self.affinity(method)), target, top=top)
        ends = self.interval(method)
        ends = ends[ends["target"] == target][["source", "low", "high"]]
        return best.merge(ends, on="source", how="left", validate="one_to_one")

    def maps(
        self, name: str, *, first: int | None = None
    ) -> dict[str, Float16[np.ndarray, "image row column"]]:
        """Read the maps of a model, the ones that its affinity was computed from.

        Parameters
        ----------
        name
            Of a charted model.
        first
            Only of that many images, from the first on; of all by default.

        Returns
        -------
            Method -> unit maps in manifest order, zeros where dead.

        Raises
        ------
        InputError
            No charted model of that name.
        StoreError
            Maps are missing or damaged.
        """
        reader, count = MapReader(self.path, model_key(self._charted(name))), len(self.images())
        stop = count if first is None else min(first, count)
        found = {}
        for method in self.methods:
            (alive,) = dead_maps(reader.norms(method, count)[None])  # dead is judged against all images
            maps = reader.maps(method, 0, stop)
            found[method] = np.where(alive[:stop, None, None], maps, np.float16(0))
        return found

    @cached_property
    def thumbnails(self) -> dict[str, UInt8[np.ndarray, "side side 3"]]:
        """Image id -> small picture of its square, RGB, for as many of the first images as were stored."""
        stored = read_thumbnails(self.path)
        return {name: stored[name] for name in self.images() if name in stored}

    def manifest(self) -> dict[str, Any]:
        """Read the probe's manifest: every image with its checksum, source and licence."""
        return read_json(self._layout.manifest, remedy="run the same `modelatlas chart` again")

    def _charted(self, name: str) -> str:
        if name in self.names:
            return name
        self._finished()
        excluded = next((model for model in self.models if model.name == name), None)
        if excluded is not None:
            raise InputError(f"{name} was left out of this atlas: {excluded.reason}")
        raise InputError(f"{self.path} has no model {name!r}; {_offer(name, self.names)}")

    def _finished(self) -> None:
        if self.document["state"] != "finished":
            raise StoreError(f"{self.path}: its run did not finish; run the same `modelatlas chart` again")

    def _method(self, method: str) -> str:
        if method in self.methods:
            return method
        raise InputError(f"{self.path} has no method {method!r}; {_offer(method, self.methods)}")

    def _result(self, method: str) -> str:
        """Name of a method whose results are those that the document describes."""
        if self._method(method) not in self.document.get("results", {}):
            self._finished()
        if not self.names:
            self._finished()
            reasons = {model.name: model.reason or "" for model in self.models}
            raise IncompleteError((), excluded=reasons, left_out=len(self.left_out))
        return method

    def _table(self, path: Path, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
        with explained(path, "read"):
            there = path.is_file()
        if not there:
            self._finished()
        if path not in self._tables:
            self._tables[path] = read(path)
        return self._tables[path].copy()


def open_atlas(path: str | Path) -> Atlas:
    """Open the atlas in a folder, to read.

    Raises
    ------
    InputError
        No atlas there.
    StoreError
        It is damaged, or of a newer format.
    """
    return Atlas(Path(path), read_document(Path(path)))


def _offer(name: str, known: tuple[str, ...]) -> str:
    if len(known) <= _FEW:
        return f"it has {', '.join(known) or 'none'}"
    near = get_close_matches(name, known, 3, 0.4)
    return f"near: {', '.join(near)}" if near else f"it has {len(known)}: {', '.join(known[:_FEW])}, ..."
