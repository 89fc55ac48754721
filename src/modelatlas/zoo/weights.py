"""State dicts: read from files that cannot run code, checked, put into a network, digested."""

import hashlib
import pickle
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from modelatlas.errors import ModelError, one_line

__all__ = ["check_finite", "load_into", "read_state_dict", "refusal", "weights_digest", "without_wrappers"]

_WRAPPERS: Final = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "state_dict_ema",
    "params_ema",
    "params",
)
_BESIDE: Final = (
    "argparse.Namespace",
    *(
        f"{module}.{kind}Path"
        for module in ("pathlib", "pathlib._local")  # the latter as Python 3.13 writes it
        for kind in ("Posix", "PurePosix", "Windows", "PureWindows")
    ),
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
)
"""What trainers keep beside the weights: settings, paths, scores."""
_PREFIXES: Final = ("module.", "_orig_mod.", "model.")
_HEAD: Final = 8  # tensors: the classifier of a VGG has six
_NO_CHECKPOINT: Final = (
    "is no checkpoint: it is neither safetensors nor what torch.save writes; give the file of the weights"
)


def read_state_dict(path: Path, *, model: str) -> dict[str, Tensor]:
    """Tensors by name from a safetensors file or a torch checkpoint that holds nothing but plain data.

    A state dict inside a checkpoint (`state_dict`, `model`, ..., or the only one that there is) is found;
    prefixes that all names share (`module.`) stay, `load_into` tries without them.

    Raises
    ------
    ModelError
        No such file, not a checkpoint, damaged, several state dicts, or a pickle that wants to run code.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _torch_load(path)
    except FileNotFoundError as error:
        raise ModelError(model, f"there is no weights file {path}; check weights=") from error
    except pickle.UnpicklingError as error:
        told = refusal(error) if _is_of_torch(path) else _NO_CHECKPOINT
        raise ModelError(model, f"{path} {told}") from error
    except Exception as error:  # whatever safetensors raises, and the opcodes that any bytes may look like
        raise ModelError(model, f"{path} {_unreadable(path, error)}") from error
    states = _state_dicts(content)
    if len(states) > 1:
        raise ModelError(
            model,
            f"{path} holds several state dicts ({', '.join(states)}): save the one that you mean alone, as "
            f"in torch.save(checkpoint[{next(iter(states))!r}], FILE)",
        )
    if not states:
        raise ModelError(
            model,
            f"{path} holds no state dict (names to tensors): save model.state_dict() "
            "with torch.save or as safetensors",
        )
    return next(iter(states.values()))


def load_into(module: nn.Module, state: Mapping[str, Tensor], *, model: str, path: Path) -> None:
    """Put a state dict into a network; every name and shape must fit, but for the number of outputs.

    Names may carry what wrappers add (`module.`, `_orig_mod.`, `model.`), or lack it; also any prefix that
    all of them share (`backbone.`). A last layer that differs in its number of outputs alone (an own head:
    other classes) is made as the checkpoint has it.

    Raises
    ------
    ModelError
        Naming the first name that does not fit.
    """
    own = module.state_dict()
    # a step counter that inference does not read, and that older checkpoints lack
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    # the naming that leaves least over on both sides; the names as they are first
    candidate = min(
        _namings(state, own), key=lambda names: len(needed - names.keys()) + len(names.keys() - own.keys())
    )
    missing, foreign = sorted(needed - candidate.keys()), sorted(candidate.keys() - own.keys())
    misfits = [name for name in candidate if name in own and candidate[name].shape != own[name].shape]
    heads = _resized_heads(module, candidate, misfits)
    misfits = [name for name in misfits if name.rpartition(".")[0] not in heads]
    if missing and not (foreign or misfits) and _is_head(missing, [name for name in own if name in needed]):
        raise ModelError(
            model,
            f"{path} lacks the network's last layers ({', '.join(missing)}) and has all else: it has no "
            "head. Give the checkpoint with it; or a python: spec whose function makes the network "
            "without it (as timm.create_model(..., num_classes=0) does), with these weights",
        )
    if missing or foreign or misfits:
        raise ModelError(
            model, f"{path} does not fit the network: {_what_differs(missing, foreign, misfits)}"
        )
    for name, outputs in heads.items():
        _resize(module.get_submodule(name), outputs)
    module.load_state_dict(candidate, strict=False)


def without_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take away the wrappers' prefixes that all names carry."""
    bare = dict(state)
    while bare and (
        prefix := next((one for one in _PREFIXES if all(name.startswith(one) for name in bare)), None)
    ):
        bare = {name.removeprefix(prefix): tensor for name, tensor in bare.items()}
    return bare


def check_finite(module: nn.Module, *, model: str) -> None:
    """Refuse weights with NaN or infinity; infinities in buffers (attention masks) are fine.

    Raises
    ------
    ModelError
        Naming the first such tensor and how many there are.
    """
    bad = [name for name, tensor in module.named_parameters() if not bool(torch.isfinite(tensor).all())]
    bad += [name for name, tensor in module.named_buffers() if bool(torch.isnan(tensor).any())]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ModelError(
            model, f"weights contain NaN or infinity in {bad[0]!r}{more}: use another checkpoint"
        )


def weights_digest(module: nn.Module) -> str:
    """SHA-256 (hex) over a network's state dict: names, types, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name}\0{plain.dtype}\0{tuple(plain.shape)}\0".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def refusal(error: pickle.UnpicklingError) -> str:
    """Say in our words why a pickle was not read; torch's are advice to read it all the same."""
    named = re.search(r"GLOBAL (\w[\w.]*\w) (was|whose) ", str(error))
    what = f": it holds more than arrays and plain values ({named[1]})" if named else ", or is damaged"
    return (
        f"wants to run code{what}. It was not read; where you trust it, save the weights alone: "
        "torch.save(model.state_dict(), FILE), or as safetensors"
    )


def _torch_load(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle protocols; what cannot be read ends in an error
        with torch.serialization.safe_globals([_stand_in(name) for name in _BESIDE]):
            return torch.load(path, map_location="cpu", weights_only=True)


class _Beside:
    """Stands for what a checkpoint holds beside the weights: takes everything, keeps and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


def _stand_in(name: str) -> type[_Beside]:
    """Make a class that a pickle finds under this name: what really has the name is not called."""
    module, _, last = name.rpartition(".")
    return type(last, (_Beside,), {"__module__": module})


def _is_of_torch(path: Path) -> bool:
    """Whether it begins as what torch.save writes: a zip archive, before version 1.6 a pickle."""
    with path.open("rb") as stream:
        return stream.read(4).startswith((b"PK", b"\x80"))


def _unreadable(path: Path, error: Exception) -> str:
    if path.is_file() and path.suffix != ".safetensors" and not _is_of_torch(path):
        return _NO_CHECKPOINT
    if "TorchScript" in str(error):
        return "is a TorchScript program; save the weights alone: torch.save(model.state_dict(), FILE)"
    return f"is no readable checkpoint ({_first_line(error)}); save it again"


def _state_dicts(content: Any) -> dict[str, dict[str, Tensor]]:
    """Find the state dict under a name of old (by no key), else all that there are, by their keys."""
    if not isinstance(content, Mapping):
        return {}
    if (state := _unwrap(content)) is not None:
        return {"": state}
    inner = {str(key): _unwrap(value) for key, value in content.items()}
    return {key: state for key, state in inner.items() if state is not None}


def _unwrap(content: Any) -> dict[str, Tensor] | None:
    for _ in range(3):
        if not isinstance(content, Mapping):
            return None
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if tensors and len(tensors) == len(content):
            return tensors
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return None
        content = inner
    return None


def _namings(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield a state dict under its own names, without each prefix of a wrapper or of all, and with ours."""
    yield dict(state)
    yield (bare := without_wrappers(state))
    for prefix in _PREFIXES:  # carried by some names only
        yield {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    yield {f"model.{name}": tensor for name, tensor in bare.items()}
    if shared := _shared_prefix(own):
        yield {f"{shared}{name}": tensor for name, tensor in bare.items()}
    shared = _shared_prefix(state)
    while shared:  # part by part: encoder.net. is without encoder. first
        first = shared[: shared.index(".") + 1]
        shared = shared.removeprefix(first)
        state = {name.removeprefix(first): tensor for name, tensor in state.items()}
        yield dict(state)


def _shared_prefix(names: Iterable[str]) -> str:
    """Give the parts that all names begin with, each with its dot; the last part of a name is its own."""
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    return "".join(f"{parts[0]}." for parts in takewhile(lambda parts: len(set(parts)) == 1, columns))


def _is_head(missing: Sequence[str], order: Sequence[str]) -> bool:
    """Whether what is missing are whole layers at the end of a network, and not much."""
    return (
        set(order[-len(missing) :]) == set(missing)
        and len(missing) <= min(_HEAD, len(order) // 2)
        and not (
            {name.rpartition(".")[0] for name in missing}
            & {name.rpartition(".")[0] for name in order[: -len(missing)]}
        )
    )


def _resized_heads(module: nn.Module, state: Mapping[str, Tensor], misfits: Sequence[str]) -> dict[str, int]:
    """Last layers that the checkpoint has with another number of outputs, and that number.

    Any layer inside would change the width of what follows it too, and that does not fit.
    """
    found: dict[str, int] = {}
    for name in {name.rpartition(".")[0] for name in misfits}:
        layer = module.get_submodule(name)
        parts = {key: state.get(f"{name}.{key}") for key, _ in layer.named_parameters(recurse=False)}
        if not isinstance(layer, (nn.Linear, nn.Conv2d)) or "weight" not in parts or None in parts.values():
            continue
        sizes = {part.shape[0] for part in parts.values() if part is not None and part.dim()}
        weight = parts["weight"]
        if weight is not None and len(sizes) == 1 and weight.shape[1:] == layer.weight.shape[1:]:
            found[name] = sizes.pop()
    return found


def _resize(layer: nn.Module, outputs: int) -> None:
    for key, parameter in list(layer.named_parameters(recurse=False)):
        setattr(layer, key, nn.Parameter(parameter.new_empty(outputs, *parameter.shape[1:])))
    setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", outputs)


def _what_differs(missing: list[str], foreign: list[str], misfits: list[str]) -> str:
    told = [
        f"{len(names)} {what} (first: {names[0]!r})"
        for names, what in (
            (missing, "names missing"),
            (foreign, "names unknown"),
            (misfits, "shapes differ"),
        )
        if names
    ]
    return "; ".join(told) + ". Is it the checkpoint of another architecture or number of classes?"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line((lines or [type(error).__name__])[0])[:200]
