"""`modelatlas zoo list`, `show`, `layers`: the models there are, their cards, possible target layers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelatlas.cli import render
from modelatlas.cli.command import AsJson, command, group

if TYPE_CHECKING:
    from torch import Tensor

    from modelatlas.zoo import Preprocess

__all__ = ["TrustCode", "app", "layers", "list_models", "show"]

app = group("Models: what there is, where weights come from, licence, checksum, possible target layers.")

_Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="A model spec, or a model's name in a built-in zoo.")
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Allow python: specs to run their code.")]


def list_models(
    zoo: Annotated[
        str | None, typer.Argument(help="A zoo, or a source as in timm: [default: the built-in zoos].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models of the built-in zoos, of a zoo file, or the names that a source knows."""
    from modelatlas.zoo import broken_sources, builtin_zoos, sources

    if zoo is not None and zoo.endswith(":") and zoo[:-1] in sources():
        _list_names(zoo[:-1], as_json=as_json)
        return
    rows = [row for name in ([zoo] if zoo else builtin_zoos()) for row in _short_cards(name)]
    if as_json:
        render.document(rows)
        return
    columns = ("name", "task", "group", "licence", "parameters", "zoo")
    render.table(columns, [[row[column] for column in columns] for row in rows])
    for why in broken_sources().values():
        render.warning(why)
    render.note("sources: " + "; ".join(source.summary for _, source in sorted(sources().items())))


def show(spec: _Spec, as_json: AsJson = False, trust_code: TrustCode = False) -> None:
    """Show a model's card: task, licence, input, target layer, weights."""
    from modelatlas.zoo import find_model

    entry = find_model(spec)
    with render.models_aside():
        card = _complete(entry.spec, trust_code=trust_code) | {"name": entry.name} | entry.tags
    if as_json:
        render.document(card)
        return
    rows = [[key, _in_words(value)] for key, value in card.items()]
    render.table(("", entry.name), rows)


def layers(spec: _Spec, as_json: AsJson = False, trust_code: TrustCode = False) -> None:
    """List a model's layers with their shapes; `layer=NAME` in a spec chooses one."""
    from modelatlas.attribution import candidate_layers
    from modelatlas.zoo import architecture, find_model

    entry = find_model(spec)
    with render.models_aside():
        card, module = architecture(entry.spec, trust_code=trust_code)
        found = candidate_layers(module, _sample(card.input))
        default = card.layer if card.layer is not None else _chosen(module, card.input).name
    rows = [
        {
            "layer": info.name,
            "kind": info.kind,
            "shape": list(info.shape),
            "note": info.note,
            "default": info.name == default,
        }
        for info in found
    ]
    if as_json:
        render.document(rows)
        return
    render.table(
        ("", "layer", "kind", "shape", "note"),
        [
            ["*" if row["default"] else "", row["layer"], row["kind"], _in_words(row["shape"]), row["note"]]
            for row in rows
        ],
        title=f"Layers of {entry.name}; * is the target layer",
    )


def _list_names(prefix: str, *, as_json: bool) -> None:
    from modelatlas.zoo import sources

    names = [f"{prefix}:{name}" for name in sources()[prefix].names()]
    if as_json:
        render.document([{"name": name, "spec": name} for name in names])
        return
    for name in names:
        typer.echo(name)


def _short_cards(zoo: str) -> list[dict[str, Any]]:
    """Cards of a zoo's models in short form; nothing is fetched or run."""
    from modelatlas.zoo import card, read_zoo

    rows = []
    for entry in read_zoo(zoo).entries:
        known = card(entry.spec).as_dict() | {"name": entry.name, "spec": entry.spec.text} | entry.tags
        short = {
            key: known[key] for key in ("name", "spec", "task", "group", "licence", "parameters", "trained")
        }
        rows.append(short | {"zoo": zoo})
    return rows


def _complete(spec: Any, *, trust_code: bool) -> dict[str, Any]:
    """Card as plain values; what only the network can tell is read off its architecture, untrained."""
    from modelatlas.attribution import candidate_layers
    from modelatlas.zoo import architecture, card

    known = card(spec)
    if known.parameters is not None and known.layer is not None and known.layer_shape is not None:
        return known.as_dict()
    known, module = architecture(spec, trust_code=trust_code)
    plain = known.as_dict()
    if known.layer is None:
        chosen = _chosen(module, known.input)
        return plain | {"layer": chosen.name, "layer_shape": list(chosen.shape)}
    shapes = {info.name: list(info.shape) for info in candidate_layers(module, _sample(known.input))}
    return plain | {"layer_shape": shapes.get(known.layer)}


def _chosen(module: Any, preprocess: "Preprocess") -> Any:
    from modelatlas.attribution import target_layer

    return target_layer(module, _sample(preprocess))


def _sample(preprocess: "Preprocess") -> "Tensor":
    """One input of noise, [1, C, H, W]: which layers run, and their shapes, depend on no picture."""
    import numpy as np
    import torch

    square = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    return torch.from_numpy(preprocess.tensor(square))[None]


def _in_words(value: Any) -> str | None:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_in_words(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        inner = [str(_in_words(item)) for item in value]
        return " x ".join(inner) if all(isinstance(item, int) for item in value) else ", ".join(inner)
    return None if value is None else str(value)


command(app, name="list", example="modelatlas zoo list timm:")(list_models)
command(app, example="modelatlas zoo show package:hed --json")(show)
command(app, example="modelatlas zoo layers 'timm:resnet18'")(layers)
