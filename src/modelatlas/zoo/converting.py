"""Any model's weights as one safetensors file with a card: `zoo convert`.

X.safetensors        the network's state dict; loads with `?weights=X.safetensors`
X.json               the card, the files it was made from with their SHA-256, and what of them was not used
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from modelatlas._ids import file_digest
from modelatlas.errors import InputError
from modelatlas.zoo.checkpoints import open_checkpoint, unused_of
from modelatlas.zoo.loading import LoadedModel, load
from modelatlas.zoo.ports import PortedSource
from modelatlas.zoo.source import source_for
from modelatlas.zoo.spec import ModelSpec

__all__ = ["Conversion", "convert"]


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes
    ----------
    weights, card
        The two files.
    unused
        How many arrays of the origin's files were left over, by kind; empty where sources do not tell.
    """

    weights: Path
    card: Path
    unused: dict[str, int]


def convert(
    spec: ModelSpec | str, out: Path, *, file: Path | None = None, trust_code: bool = False
) -> Conversion:
    """Write a model's weights to `out`, fetching them if they are not at hand.

    Parameters
    ----------
    file
        Checkpoint to take instead of the published one: any format that the model's source reads.

    Raises
    ------
    InputError
        `out` is not named `.safetensors`, or is there already.
    ModelError, CheckpointError, FetchError
        As `load`.
    """
    parsed = ModelSpec.parse(spec) if isinstance(spec, str) else spec
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: the file is written as safetensors; name it so, as in model.safetensors")
    beside = out.with_suffix(".json")
    for taken in (out, beside):
        if taken.exists():
            raise InputError(f"{taken}: is there already; remove it or choose another name")
    if file is not None:
        parsed = replace(parsed, options=parsed.options | {"weights": str(file)})
    loaded = load(parsed, trust_code=trust_code)
    made_from, unused = _origin(parsed, file, loaded)
    state = {name: tensor.contiguous() for name, tensor in loaded.module.state_dict().items()}
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, part, metadata={"format": "pt", "spec": parsed.text})
        os.replace(part, out)  # noqa: PTH105
        card = _card(loaded, out, made_from=made_from, unused=unused)
        beside.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror or error}); choose another place"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return Conversion(weights=out, card=beside, unused=unused)


def _origin(spec: ModelSpec, file: Path | None, loaded: LoadedModel) -> tuple[dict[str, str], dict[str, int]]:
    """Files that the weights come from, with their SHA-256, and counts of what of them was not used."""
    source = source_for(spec)
    if isinstance(source, PortedSource) and spec.seed is None:
        checkpoint = open_checkpoint(file if file is not None else source.fetch(spec))
        files = {path.name: file_digest(path) for path in checkpoint.files}
        return files, unused_of(source.port(spec).read(checkpoint, loaded.module, model=spec.text))
    if file is not None:
        return {file.name: file_digest(file)}, {}
    return {}, {}


def _card(
    loaded: LoadedModel, out: Path, *, made_from: dict[str, str], unused: dict[str, int]
) -> dict[str, Any]:
    weights = {
        "url": out.name,
        "sha256": file_digest(out),
        "bytes": out.stat().st_size,
        "format": "safetensors",
    }
    return loaded.card.as_dict() | {
        "weights": [weights],
        "weights_digest": loaded.weights_digest,
        "made_from": made_from,
        "unused": unused,
        "torch": torch.__version__,
    }
