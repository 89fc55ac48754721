# ruff: noqa: E402 (the path comes before the imports)
"""Measure how well attribution maps predict the measured transfers of the mini-Taskonomy.

    python studies/mini.py [--out FOLDER] [--only PART ...]

Charts the zoo `mini` in all `SETTINGS` (atlases that are resumed where they stopped), evaluates every method
against the reference `mini`, and writes `studies/mini.json` and the table of `docs/mini.md`. Intervals: 95 %,
bootstrap over the targets.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))  # for `studies.pages`, wherever this is called from

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from studies.mini_channels import channel_affinities, networks, rooms
from studies.pages import insert

import modelatlas as ma
from modelatlas import evaluation
from modelatlas._types import SIGNED
from modelatlas.evaluation import TransferTable, mini_transfers
from modelatlas.probe import open_probe
from modelatlas.run import ApartEngine, Settings, chart_maps
from modelatlas.space import SIMILARITIES, affinity
from modelatlas.zoo import ModelSpec, Zoo, ZooEntry, read_zoo

METHODS = ("saliency", "gradient-x-input", "epsilon-lrp")


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    `cells` sums the maps of the atlas over so many cells a side first (0: as they are), `centred` takes a
    model's mean map from each of its maps, `similarity` is that of two maps.
    """

    part: str
    label: str
    probe: str = "rooms"
    images: int = 200
    grid: int = 64
    options: str = ""
    cells: int = 0
    centred: bool = False
    similarity: str = "cosine"

    @property
    def folder(self) -> str:
        """Settings that differ in their number of images share an atlas."""
        return "-".join(filter(None, [self.probe, str(self.grid), self.options.replace("=", "")]))


SETTINGS = (
    *(Setting("images", f"{n} images", images=n) for n in (1000, 400, 200, 100, 50)),
    Setting("probe", "rooms, 122 images", images=122),
    Setting("probe", "photos, 122 images", probe="photos", images=122),
    Setting("probe", "noise, 64 images", probe="noise", images=64),
    Setting("layer", "code after its ReLU"),
    Setting("layer", "code before its ReLU", options="layer=compress"),
    Setting("maps", "as they are"),
    Setting("maps", "less the model's mean map", centred=True),
    *(Setting("grid", f"{g} x {g} cells", grid=128, cells=g) for g in (4, 8, 16, 32, 64)),
    Setting("grid", "128 x 128 cells", grid=128),
    *(
        Setting("input", f"{s} pixels, 100 images", images=100, options=f"size={s}" if s != 128 else "")
        for s in (64, 128, 256)
    ),
    *(
        replace(setting, part="correlation", similarity="correlation")
        for setting in (
            Setting("probe", "rooms, 200 images"),
            Setting("probe", "rooms, 122 images", images=122),
            Setting("probe", "photos, 122 images", probe="photos", images=122),
            Setting("probe", "noise, 64 images", probe="noise", images=64),
            Setting("layer", "code before its ReLU", options="layer=compress"),
            Setting("grid", "32 x 32 cells", grid=128, cells=32),
            Setting("grid", "128 x 128 cells", grid=128),
            Setting("input", "64 pixels, 100 images", images=100, options="size=64"),
            Setting("input", "256 pixels, 100 images", images=100, options="size=256"),
        )
    ),
)  # fmt: skip


def main() -> None:
    """Run what is missing, write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPO / ".cache" / "studies" / "mini")
    parser.add_argument("--only", nargs="*", choices=_parts(), help="parts of the table")
    options = parser.parse_args()
    reference = mini_transfers()
    asked = _parts() if options.only is None else options.only
    rows = list(_others(reference))
    for part, measure in APART.items():
        if part in asked:
            rows += measure(reference)
    tables: dict[tuple[str, str, str], TransferTable] = {}
    for setting in SETTINGS:
        if setting.part not in asked:
            continue
        atlas = _chart(setting, options.out)
        for method in METHODS:
            table = TransferTable.from_frame(_affinity(atlas, method, setting), origin=method)
            rows.append(
                {"part": setting.part, "setting": setting.label, "method": method} | _scores(table, reference)
            )
            tables[setting.similarity, setting.label, method] = table
            print(_line(rows[-1]), flush=True)
    agreement = list(_agreement(tables))
    if options.only is None:
        result = {"rows": rows, "agreement": agreement, "models": "mini", "reference": "mini:all"}
        (REPO / "studies" / "mini.json").write_text(json.dumps(result, indent=1) + "\n")
        insert("mini.md", "python studies/mini.py", _page(rows, agreement))
    for entry in agreement:
        print(entry)


def _chart(setting: Setting, out: Path) -> ma.Atlas:
    mini = read_zoo("mini")
    mark = f"?{setting.options}" if setting.options else ""
    entries = tuple(ZooEntry(e.name, ModelSpec.parse(e.spec.text + mark), e.tags) for e in mini.entries)
    folder = out / setting.folder
    probe = open_probe(setting.probe, images=setting.images)
    chart_maps(
        Zoo("mini", entries), probe, folder, Settings(methods=METHODS, grid=setting.grid), engine=ApartEngine
    )
    return ma.open_atlas(folder)


def _affinity(atlas: ma.Atlas, method: str, setting: Setting) -> pd.DataFrame:
    if not (setting.cells or setting.centred or setting.similarity != atlas.similarity):
        return atlas.affinity(method)
    maps = np.stack([atlas.maps(name)[method].astype(np.float32) for name in atlas.names])
    if setting.cells:  # coarser grids nest in finer ones, and a grid keeps sums
        side = maps.shape[-1] // setting.cells
        maps = maps.reshape(*maps.shape[:2], setting.cells, side, setting.cells, side).sum((3, 5))
    flat = maps.reshape(*maps.shape[:2], -1)
    if setting.centred:
        flat = flat - flat.mean(1, keepdims=True)
    flat = flat / np.linalg.norm(flat, axis=2, keepdims=True).clip(min=1e-12)
    alike = {"similarity": setting.similarity, "signed": method in SIGNED}
    return affinity(flat, models=atlas.names, **alike).frame()


def _scores(table: TransferTable, reference: TransferTable) -> dict:
    result = evaluation.evaluate(table, reference)
    found, more = evaluation.document(result), evaluation.details(result)
    ends = more["interval_95"]
    return {
        "spearman": found["spearman"], "spearman_interval": ends["spearman"],
        "spearman_with_self": found["spearman_with_self"],
        **{f"p{k}": found["precision_at"][str(k)] for k in (1, 3, 5)},
        **{f"p{k}_interval": ends[f"precision_at_{k}"] for k in (1, 3, 5)},
        "per_target": {target: values["spearman"] for target, values in found["per_target"].items()},
    }  # fmt: skip


def _others(reference: TransferTable) -> Iterator[dict]:
    """Yield rows that need no attribution: random order, the fixed list, other measurements."""
    result = evaluation.evaluate(reference, reference)
    chance = result.random_precision
    yield {
        "part": "reference",
        "setting": "random order",
        "spearman": 0.0,
        "p1": chance,
        "p3": chance,
        "p5": chance,
    }
    fixed = evaluation.details(result)["fixed_list"]
    yield {
        "part": "reference", "setting": "fixed list", "spearman": fixed["spearman"],
        **{f"p{k}": fixed["precision_at"][str(k)] for k in (1, 3, 5)},
    }  # fmt: skip
    symmetric = reference.frame().rank()
    square = symmetric.loc[list(symmetric.columns)]
    yield {"part": "reference", "setting": "reference, ranks made symmetric (18 sources)"} | _scores(
        TransferTable.from_frame((square + square.T) / 2, origin="symmetric"), reference
    )
    halves = mini_transfers("half-a"), mini_transfers("half-b")
    yield {"part": "reference", "setting": "one half of the test rooms by the other"} | _scores(*halves)
    again = mini_transfers("again")
    label = f"second readout seed ({len(again.targets)} targets)"
    yield {"part": "reference", "setting": label} | _scores(again, reference)


def _codes(reference: TransferTable) -> Iterator[dict]:
    """Yield what the codes themselves tell on the same 200 rooms: a yardstick for the maps."""
    pictures = rooms(200)
    names, kernels, ranks = [], [], []
    for name, network in networks():
        code = network(pictures).flatten(1).double().numpy()
        names.append(name)
        centred = code - code.mean(0)
        kernels.append((centred @ centred.T).ravel())
        ranks.append(rankdata(np.corrcoef(code)[np.triu_indices(len(code), 1)]))
    kernels = np.stack(kernels) / np.linalg.norm(kernels, axis=1, keepdims=True)
    tables = {
        "linear CKA (Kornblith et al. 2019)": kernels @ kernels.T,
        "RSA (Dwivedi & Roig 2019)": np.corrcoef(ranks),
    }
    for label, values in tables.items():
        table = TransferTable.from_frame(pd.DataFrame(values, names, names), origin=label)
        yield {"part": "codes", "setting": label} | _scores(table, reference)


def _channels(reference: TransferTable) -> Iterator[dict]:
    for method, grid, frame in channel_affinities(images=100, grids=(64, 32)):
        label = f"a map a channel, linear CKA, {grid} x {grid} cells, 100 images"
        table = TransferTable.from_frame(frame, origin=label)
        yield {"part": "channels", "setting": label, "method": method} | _scores(table, reference)


APART = {"channels": _channels, "codes": _codes}
"""Parts that need no atlas."""


def _agreement(tables: dict[tuple[str, str, str], TransferTable]) -> Iterator[dict]:
    """Correlation of affinities between probes, over all pairs of models."""
    for how, other, method in product(SIMILARITIES, ("photos, 122 images", "noise, 64 images"), METHODS):
        pair = [tables.get((how, label, method)) for label in ("rooms, 122 images", other)]
        if None not in pair:
            found = evaluation.compare(*pair)
            yield {"similarity": how, "method": method, "probes": f"rooms and {other.split(',')[0]}",
                   "pearson": found.pearson, "spearman": found.spearman}  # fmt: skip


def _parts() -> list[str]:
    return [*dict.fromkeys(setting.part for setting in SETTINGS), *APART]


def _line(row: dict) -> str:
    return f"{row['part']:12s}{row['setting']:28s}{row.get('method', ''):18s}" + " ".join(
        f"{name} {row[name]:.2f}" for name in ("spearman", "p1", "p3", "p5")
    )


def _page(rows: list[dict], agreement: list[dict]) -> str:
    head = "| setting | method | Spearman, self out | self in | P@1 | P@3 | P@5 |\n" + "| --- " * 7 + "|"
    lines = []
    for part in ["reference", *_parts()]:
        lines += ["", f"**{part}**", "", head]
        lines += [_cells(row) for row in rows if row["part"] == part]
    lines += ["", "| affinities of two probes | by | method | Pearson | Spearman |", "| --- " * 5 + "|"]
    lines += [
        f"| {e['probes']} | {e['similarity']} | {e['method']} | {e['pearson']:.2f} | {e['spearman']:.2f} |"
        for e in agreement
    ]
    return "\n".join(lines) + "\n"


def _cells(row: dict) -> str:
    def cell(name: str) -> str:
        value, ends = row.get(name), row.get(f"{name}_interval")
        if value is None:
            return ""
        return f"{value:.2f}" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else "")

    names = ("spearman", "spearman_with_self", "p1", "p3", "p5")
    return f"| {row['setting']} | {row.get('method', '')} | " + " | ".join(map(cell, names)) + " |"


if __name__ == "__main__":
    main()
