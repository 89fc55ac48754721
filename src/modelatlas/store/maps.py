"""The maps of an atlas in Zarr: float16 unit maps and their lengths, per model and method.

Plain Zarr 3 arrays with one chunk a shard, compressed with a checksum; Zarr's local store writes each file
beside its place and moves it there. Arrays are as long as the images charted so far; more images lengthen
them, which touches their metadata alone. A chunk without living maps is written too, so that a missing one
shows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from jaxtyping import Float16, Float32
from zarr.codecs import ZstdCodec
from zarr.core.array_spec import ArrayConfigParams

from modelatlas.errors import ConflictError, StoreError
from modelatlas.store.files import explained
from modelatlas.store.layout import SHARD, Layout

__all__ = ["MapReader", "MapWriter"]

_ALWAYS: Final[ArrayConfigParams] = {"write_empty_chunks": True}


class MapWriter:
    """Writes the maps of one model; the arrays are made, or lengthened, at the start.

    Parameters
    ----------
    root
        The atlas folder.
    key, name
        The model's folder name, and the name it is known by.
    methods, images, grid
        What is going to be written.

    Raises
    ------
    StoreError
        The disk refuses.
    ConflictError
        The stored maps have another grid.
    """

    def __init__(
        self, root: Path, key: str, *, name: str, methods: Sequence[str], images: int, grid: int
    ) -> None:
        self._path = Layout(root).maps
        with explained(self._path, "write"):
            group = zarr.open_group(self._path, mode="a", zarr_format=3).require_group(key)
            if group.attrs.get("model") != name:
                group.attrs["model"] = name
            self._maps = {
                method: _array(group, method, (images, grid, grid), "float16", ("image", "row", "column"))
                for method in methods
            }
            self._norms = {
                method: _array(group, f"{method}.norms", (images,), "float32", ("image",))
                for method in methods
            }

    def write(
        self,
        method: str,
        start: int,
        maps: Float32[np.ndarray, "image row column"],
        norms: Float32[np.ndarray, " image"],
    ) -> None:
        """Write maps of images `start`, `start` + 1, ... of one shard.

        Raises
        ------
        StoreError
            The disk refuses.
        """
        stop = start + len(maps)
        with explained(self._path, "write"):
            self._maps[method][start:stop] = maps.astype(np.float16)
            self._norms[method][start:stop] = norms


def _array(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: str, axes: tuple[str, ...]
) -> zarr.Array[Any]:
    if name not in group:
        return group.create_array(
            name,
            shape=shape,
            chunks=(SHARD, *shape[1:]),
            dtype=dtype,
            fill_value=0,
            compressors=ZstdCodec(level=1, checksum=True),
            dimension_names=axes,
            config=_ALWAYS,
        )
    array = zarr.open_array(group.store_path / name, mode="r+", config=_ALWAYS)
    if array.shape[1:] != shape[1:]:
        raise ConflictError(f"grid of {group.store_path / name}", array.shape[-1], shape[-1])
    if array.shape[0] < shape[0]:
        array.resize(shape)
    return array


class MapReader:
    """Reads the stored maps of one model; takes no lock and writes nothing.

    Parameters
    ----------
    root
        The atlas folder.
    key
        The model's folder name.
    """

    def __init__(self, root: Path, key: str) -> None:
        self._folder = Layout(root).maps / key
        self._open: dict[str, zarr.Array[Any]] = {}

    def has(self, method: str, shard: int) -> bool:
        """Whether both chunks of a shard are there."""
        return self._chunk(method, shard).is_file() and self._chunk(f"{method}.norms", shard).is_file()

    def maps(self, method: str, start: int, stop: int) -> Float16[np.ndarray, "image row column"]:
        """Read the unit maps of some images as they are stored.

        Raises
        ------
        StoreError
            A chunk is missing or damaged.
        """
        maps: Float16[np.ndarray, "image row column"] = self._read(method, start, stop)
        return maps

    def norms(self, method: str, images: int) -> Float32[np.ndarray, " image"]:
        """Lengths of the maps of the first images before normalisation; errors as `maps`."""
        norms: Float32[np.ndarray, " image"] = self._read(f"{method}.norms", 0, images)
        return norms

    def _read(self, name: str, start: int, stop: int) -> Any:
        for shard in range(start // SHARD, -(-stop // SHARD)):
            if not self._chunk(name, shard).is_file():
                raise StoreError(
                    f"{self._chunk(name, shard)} is missing, with maps of images from {shard * SHARD} on: "
                    "run the same `modelatlas chart` again, it makes what is missing"
                )
        try:
            if name not in self._open:
                self._open[name] = zarr.open_array(self._folder / name, mode="r")
            return np.asarray(self._open[name][start:stop])
        except (OSError, RuntimeError, ValueError, KeyError) as error:  # Zarr's decoders raise RuntimeError
            raise StoreError(
                f"{self._folder / name} is damaged between images {start} and {stop - 1} ({error}): remove "
                f"its files c/{start // SHARD} to c/{(stop - 1) // SHARD} and run the same command again"
            ) from error

    def _chunk(self, name: str, shard: int) -> Path:
        folder = self._folder / name / "c" / str(shard)
        return folder if name.endswith(".norms") else folder / "0" / "0"
