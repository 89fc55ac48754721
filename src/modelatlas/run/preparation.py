"""Everything that is checked before a run writes: models, folder, conflicts. Here status 2 comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from modelatlas.errors import InputError
from modelatlas.run.arithmetic import choose_device
from modelatlas.run.precision import has_bfloat16
from modelatlas.run.settings import Settings
from modelatlas.store import LOCK_FILES, Layout, explained, read_document
from modelatlas.zoo import ModelCard, Zoo, ZooEntry, card, source_for

__all__ = ["asked_models", "existing_document", "resolved_settings"]


def asked_models(
    zoo: Zoo, *, exclude: Sequence[str], layer: str | None, trust_code: bool
) -> dict[ZooEntry, ModelCard]:
    """Give the models to chart with their cards; nothing is loaded.

    Raises
    ------
    InputError
        An unknown model, a layer for more than one, code that is not trusted, a name to exclude that is not
        there, or nothing left.
    """
    if isinstance(exclude, str):  # would be taken letter by letter
        raise InputError(f"exclude is the text {exclude!r}: give a list, as in exclude=[{exclude!r}]")
    names = [entry.name for entry in zoo.entries]
    for name in exclude:
        if name not in names:
            near = ", ".join(get_close_matches(name, names, 3, 0.4) or names[:3])
            raise InputError(f"--exclude {name}: the zoo has no model of that name; near: {near}")
    entries = [entry for entry in zoo.entries if entry.name not in exclude]
    if not entries:
        raise InputError("nothing to chart: the zoo is empty, or every model of it is excluded")
    if layer is not None:
        if len(entries) != 1:
            raise InputError(
                f"--layer names a layer of one model, not of {len(entries)}: put ?layer= into their specs"
            )
        spec = entries[0].spec
        entries = [replace(entries[0], spec=replace(spec, options={**spec.options, "layer": layer}))]
    cards = {entry: card(entry.spec) for entry in entries}
    for entry in entries:
        if source_for(entry.spec).runs_user_code and not trust_code:
            raise InputError(
                f"{entry.spec.text}: runs code of your own; add --trust-code if you trust it. Nothing was run"
            )
    return cards


def existing_document(out: Path) -> dict[str, Any] | None:
    """Read the atlas in the folder; None where there is none yet.

    Raises
    ------
    InputError
        The folder holds other things than an atlas, or is no folder.
    StoreError
        The atlas cannot be read.
    """
    with explained(out, "read"):
        if Layout(out).document.is_file():
            return read_document(out)
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file: choose a folder with --out")
        found = {path.name for path in out.iterdir()} if out.exists() else set()
    strangers = sorted(name for name in found - set(LOCK_FILES) if not name.endswith(".tmp"))
    if strangers and not Layout(out).journal.is_dir():
        raise InputError(
            f"{out} is no atlas and not empty (it holds {strangers[0]}): choose another folder with --out"
        )
    return None


def resolved_settings(settings: Settings, document: Mapping[str, Any] | None) -> Settings:
    """Settle device and threads; an atlas goes on with as many threads as it began with.

    Raises
    ------
    InputError
        No such device, or bf16 on one that has no such instructions.
    """
    device = choose_device(settings.device)
    if settings.precision == "bf16" and not has_bfloat16(device):
        raise InputError(
            f"precision bf16: {device} does not multiply bfloat16 itself, it would be slower than float32; "
            "take --precision auto or float32"
        )
    stored = document["settings"] if document is not None else {}
    threads = settings.threads or stored.get("threads") or torch.get_num_threads()
    return replace(settings, device=str(device), threads=threads)
