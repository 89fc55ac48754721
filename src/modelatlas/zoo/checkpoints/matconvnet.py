"""MatConvNet's networks in MATLAB files: parameters by name.

A DagNN keeps a struct array `params` with `name` and `value`, at the top or in the struct `net`; a SimpleNN
a cell array `layers` of structs with `name` and `weights` (filters, biases). Files of version 5 are read by
SciPy; those of version 7.3 are HDF5, whose axes are reversed and whose cells are references.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelatlas.errors import MissingExtraError
from modelatlas.zoo.checkpoints.checkpoint import Checkpoint
from modelatlas.zoo.checkpoints.pickles import as_checkpoint
from modelatlas.zoo.checkpoints.wire import MalformedError

__all__ = ["read_matconvnet"]

_HDF5: Final = b"MATLAB 7.3"
_WEIGHTS: Final = (
    "filters",
    "biases",
)  # what the weights of a SimpleNN layer were called before they were a list


def read_matconvnet(path: Path) -> Checkpoint:
    """Open a network of MatConvNet; beside the parameters, `meta` with the mean picture and the like.

    Raises
    ------
    MalformedError
        It is damaged, or holds no network of MatConvNet.
    MissingExtraError
        A file of version 7.3, and h5py is not installed.
    """
    with path.open("rb") as stream:
        is_hdf5 = stream.read(len(_HDF5)) == _HDF5
    try:
        content = _read_hdf5(path) if is_hdf5 else _read_v5(path)
    except (MalformedError, MissingExtraError):
        raise
    except Exception as error:  # whatever SciPy and h5py raise on damage
        raise MalformedError(f"a damaged MATLAB file ({type(error).__name__}: {error})") from error
    network = content.get("net", content)
    if not isinstance(network, dict):
        raise MalformedError("a MATLAB file whose 'net' is no struct")
    named = dict(_parameters(network))
    if not named:
        raise MalformedError("a MATLAB file without a network of MatConvNet (neither params nor layers)")
    return as_checkpoint(named | {"meta": network.get("meta", {})}, path=path, format="matconvnet")


def _parameters(network: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for parameter in _listed(network.get("params")):
        if isinstance(parameter, dict) and isinstance(parameter.get("name"), str):
            yield parameter["name"], parameter.get("value")
    for layer in _listed(network.get("layers")):
        if isinstance(layer, dict) and isinstance(layer.get("name"), str):
            weights = _listed(layer.get("weights")) or [layer[key] for key in _WEIGHTS if key in layer]
            for kind, value in zip(_WEIGHTS, weights, strict=False):
                if isinstance(value, np.ndarray):
                    yield f"{layer['name']}/{kind}", value
            # of a DagNN's batch norm; the root of the variance that is stored has it inside
            if isinstance(block := layer.get("block"), dict) and "epsilon" in block:
                yield f"{layer['name']}/epsilon", block["epsilon"]


def _listed(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray) and value.dtype == object:
        return list(value.ravel(order="F"))
    return value if isinstance(value, list) else [] if value is None else [value]


def _read_v5(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    content = loadmat(path, struct_as_record=False, squeeze_me=False, chars_as_strings=True)
    return {name: _plain(value) for name, value in content.items() if not name.startswith("__")}


def _plain(value: Any) -> Any:
    """Structs as dictionaries, 1 x 1 struct and object arrays as their one item, texts as texts."""
    if hasattr(value, "_fieldnames"):
        return {name: _plain(getattr(value, name)) for name in value._fieldnames}
    if isinstance(value, np.ndarray) and value.dtype == object:
        items = [_plain(item) for item in value.ravel(order="F")]
        return items[0] if len(items) == 1 and isinstance(items[0], dict) else items
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return str(value.ravel()[0]) if value.size == 1 else ""
    return value


def _read_hdf5(path: Path) -> dict[str, Any]:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError("h5py", extra="package", needed_for="a MATLAB file of version 7.3") from error
    with h5py.File(path, "r") as file:
        return {name: _h5(file, item) for name, item in file.items() if not name.startswith("#")}


def _h5(file: Any, item: Any) -> Any:
    import h5py

    if isinstance(item, h5py.Group):
        fields = {name: _h5(file, part) for name, part in item.items()}
        lengths = {len(value) for value in fields.values() if isinstance(value, list)}
        if fields and len(lengths) == 1 and all(isinstance(value, list) for value in fields.values()):
            # a struct array: every field is a list of references, one an element
            return [{name: value[at] for name, value in fields.items()} for at in range(lengths.pop())]
        return fields
    if item.dtype == h5py.ref_dtype:
        return [_h5(file, file[reference]) for reference in item[()].T.ravel(order="F")]
    if item.attrs.get("MATLAB_class") == b"char":
        return "".join(chr(code) for code in item[()].T.ravel(order="F"))
    return item[()].T
