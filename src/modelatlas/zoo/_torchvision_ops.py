"""Lets torchvision be imported beside a torch build that its compiled operators were not made for.

torchvision's registry wheels are built for CUDA: next to a CPU-only torch their operators do not load,
and `import torchvision` (so timm and onnx2torch) stops with "operator torchvision::nms does not exist".
Declaring the two schemas that it registers fake kernels for is enough for its Python parts; no model that
we chart calls them.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch

__all__ = ["declare_missing_ops"]

_OPS: Final = ("nms", "qnms")
_LIBRARIES: list[torch.library.Library] = []  # declarations live as long as their library object


def declare_missing_ops() -> tuple[str, ...]:
    """Declare `torchvision::nms` and `torchvision::qnms` if torchvision's own operators do not load.

    Call before any import that may import torchvision. Does nothing where the operators are there.

    Returns
    -------
        Names of the operators that are declared by us, empty if none had to be.
    """
    if not _LIBRARIES and "torchvision" not in sys.modules and not _own_ops_load():
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in _OPS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _LIBRARIES.append(library)
    return _OPS if _LIBRARIES else ()


def _own_ops_load() -> bool:
    """Load torchvision's compiled operators, as its import would; False if they do not fit this torch."""
    found = find_spec("torchvision")
    folders = (found.submodule_search_locations if found is not None else None) or []
    compiled = [path for folder in folders for path in sorted(Path(folder).glob("_C.*"))]
    try:
        for path in compiled:
            torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return bool(compiled) or not folders  # not installed: the import itself will say so
