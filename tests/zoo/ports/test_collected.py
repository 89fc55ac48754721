"""The collected models against their authors' own code, and what their source promises.

The golden numbers are those of the authors' TensorFlow graphs with drawn weights, written by
`python studies/ports/prove_collected.py --golden` (repositories and commits stand there).
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from modelatlas.attribution.budget import relevance_budget
from modelatlas.errors import FetchError, InputError, ModelError
from modelatlas.zoo import ModelSpec, card, fetch_weights, load, read_zoo, source_for
from modelatlas.zoo.checkpoints import Checkpoint, StoredArray
from zoo.checks import check_source

HERE = Path(__file__).parent
STUDIES = HERE.parents[2] / "studies/ports"
CHECKPOINTS = HERE.parent / "checkpoints/golden"
GOLDEN = json.loads((HERE / "collected_golden.json").read_text())
SCOPES = {
    "inpainting": "inpaint_net/",
    "prn": "resfcn256/",
    "fcn": "inference/",
    "colorization": "gen/",
    "tiny_face": "",
    "fcrn": "",
}
BIG = ("fcn", "fcrn")  # 141 and 64 million weights


@pytest.fixture(scope="module")
def study():
    """The module that proves the ports: it knows the networks, the weights, and how to run them."""
    from importlib import import_module

    sys.path.insert(0, str(STUDIES))
    try:
        yield import_module("prove_collected"), import_module("collected_draw")
    finally:
        sys.path.remove(str(STUDIES))


def drawn_network(name, study):
    """The port with drawn weights, filled through its table of names."""
    prove, draw = study
    spec = ModelSpec.parse(prove.NETWORKS[name][0])
    port = source_for(spec).port(spec)
    network = port.build().eval()
    state, scope = network.state_dict(), SCOPES[name]
    arrays = {}
    for ours, slot in port.names(network, None).slots.items():
        stored, shape = scope + slot.name, prove.stored(state[ours].shape, slot.layout)
        arrays[stored] = StoredArray(shape, lambda stored=stored, shape=shape: draw.drawn(stored, shape))
    filling = port.load(Checkpoint(Path("drawn"), "tensorflow-v2", arrays), network, model=spec.text)
    assert filling.scope == scope
    return network


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in BIG)) for name in sorted(SCOPES)]
)
def test_the_port_computes_what_the_authors_code_computes(name, study):
    prove, draw = study
    network, golden = drawn_network(name, study), GOLDEN[name]
    given = torch.from_numpy(draw.images(name).transpose(0, 3, 1, 2).copy())
    values, gradient = prove.run(network, given, prove.NETWORKS[name][1])
    # ReLUs and pools near a tie fall to one side or the other: forward to 1e-5, gradients of float32 to 2e-2
    for key, value in (values | {"gradient": gradient}).items():
        entry, limit = golden[key], 2e-2 if key == "gradient" else 1e-5
        assert list(value.shape) == entry["shape"], key
        assert np.linalg.norm(value.astype(np.float64)) == pytest.approx(entry["norm"], rel=limit), key
        ours, theirs = np.array(prove.picked(value)["values"]), np.array(entry["values"])
        assert np.linalg.norm(ours - theirs) <= limit * np.linalg.norm(theirs), key


@pytest.mark.parametrize("name", ["inpainting", "prn"])
def test_relevance_is_conserved_in_the_ports(name, study):
    """Attention, ELU, clipping, transposed convolutions: the exact budget, in float64."""
    _, draw = study
    spec = ModelSpec.parse(study[0].NETWORKS[name][0])
    network = drawn_network(name, study).double()
    given = torch.from_numpy(draw.images(name).transpose(0, 3, 1, 2).copy()).double()
    budget = relevance_budget(network, given, layer=source_for(spec).port(spec).card.layer)
    assert budget.error < 1e-10


def test_the_source():
    check_source("collected:prn")


def test_the_zoos_are_the_papers_groups():
    """18 models in the supplement's table 1, in its order; 38 with Taskonomy's twenty."""
    collected, merged = read_zoo("collected"), read_zoo("merged")
    assert (len(collected.entries), len(merged.entries)) == (18, 38)
    taskonomy = [entry.spec.text for entry in read_zoo("taskonomy").entries]
    assert [entry.spec.text for entry in merged.entries] == [
        *taskonomy,
        *(entry.spec.text for entry in collected.entries),
    ]
    rows = {entry.spec.text: card(entry.spec) for entry in collected.entries}
    assert all(known.training_data and known.pretrained_encoder and known.layer for known in rows.values())
    with_encoder = {name for name, known in rows.items() if known.pretrained_encoder == "ImageNet"}
    assert with_encoder == {"collected:fcrn-nyu", "collected:fcn-voc", "collected:tiny-face"}
    sizes = [(known.input.height, known.input.width) for known in rows.values()]
    assert sizes == [(299, 299)] * 2 + [(224, 224)] * 6 + [(160, 160), (128, 128), (512, 680)] + [
        (256, 256)
    ] * 3 + [(512, 512), (256, 256), (512, 512), (512, 512)]


def test_keys_after_a_zoo_hold_for_all_of_it():
    zoo = read_zoo("merged?random=3")
    assert [entry.name for entry in zoo.entries] == [entry.spec.text for entry in read_zoo("merged").entries]
    assert {entry.spec.seed for entry in zoo.entries} == {3}
    with pytest.raises(InputError, match="is no seed"):
        read_zoo("merged?random=x")


def test_the_hole_is_a_recorded_choice():
    known = card("collected:inpainting-celeba")
    assert known.as_dict()["input"]["hole"] == 0.5
    wide = load("collected:inpainting-celeba?hole=0.25&random=0")
    assert wide.card.as_dict()["input"]["hole"] == 0.25
    square = np.full((64, 64, 3), 255, np.uint8)
    given = torch.from_numpy(wide.preprocess.tensor(square))[None]
    from modelatlas.zoo.architectures.inpainting import hole

    assert torch.equal(hole(given, 0.25)[0, 0] == 1, given[0, 0] == 0)
    assert int((given[0, 0] == 0).sum()) == 64 * 64
    for text in ("inpainting-celeba?hole=1", "inpainting-celeba?hole=x", "prn?hole=0.5"):
        with pytest.raises(InputError, match="hole="):
            card(f"collected:{text}")


def test_any_number_of_classes():
    known = card("collected:fcn-voc?classes=151&random=0")
    assert (known.layer_shape, known.weights) == ((151, 16, 16), ())
    assert card("collected:fcn-voc").weights == ()
    for text in ("fcn-voc?classes=0", "prn?classes=4"):
        with pytest.raises(InputError, match="classes="):
            card(f"collected:{text}")


def test_the_stand_in_says_that_it_is_one():
    known = card("collected:fcn-voc-stand-in")
    assert "stand-in" in known.notes
    assert known.licence == "BSD-3-Clause"
    assert "fcn-voc-stand-in" not in str(read_zoo("merged"))
    if find_spec("torchvision"):
        assert load("collected:fcn-voc-stand-in?random=0").card.parameters == known.parameters


def test_what_no_program_can_fetch_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FetchError, match=r"get them in a browser .*zoo fetch collected:prn --from FILE"):
        fetch_weights("collected:prn")
    with pytest.raises(ModelError, match="is not its checkpoint"):
        fetch_weights("collected:prn", file=CHECKPOINTS / "types_v2.ckpt.index")
    assert not any(path.name == "receipt.json" for path in tmp_path.rglob("*"))


def test_the_page_states_what_was_measured():
    results = json.loads((STUDIES / "collected_results.json").read_text())
    page = (HERE.parents[2] / "docs/collected.md").read_text().partition("## Proof")[2]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in page.splitlines()[9:]]
    stated = {row[0]: row[2:] for row in rows if len(row) == 9 and row[3].count("e-")}
    assert len(stated) == 9
    names = {row["model"].partition(":")[2]: row for row in results.values()}
    for name, cells in stated.items():
        row = names["inpainting-places2" if name.startswith("inpainting") else name]
        assert cells == [
            f"{row['input'][1]} x {row['input'][2]}",
            f"{row['differences']['target']:.1e}",
            f"{row['differences']['output']:.1e}",
            f"{row['gradient']:.1e}",
            str(row["variables"]),
            f"{row['values']:,}",
            str(sum(share > 0 for share in row["alive"].values())),
        ]
        assert row["differences"]["target"] < 1e-5
        assert row["gradient"] < 2e-2
        assert row["parameters"] == row["stated"]
