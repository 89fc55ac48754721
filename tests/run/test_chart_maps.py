"""Charting in this process: what is written, what is extended, what is a conflict."""

import json
import shutil

import numpy as np
import pytest
import torch
import zarr

import chartable
from chartable import GRID, chart_small, images_computed, largest_file, results, spec, write_pictures, zoo_of
from modelatlas._types import METHODS, SIGNED
from modelatlas.atlas import open_atlas
from modelatlas.errors import ConflictError, InputError, LockedError, ProbeError, StoreError
from modelatlas.probe import open_probe
from modelatlas.run import HereEngine, Settings, chart_maps
from modelatlas.space import affinity
from modelatlas.store import model_key, writer_lock
from oracles.space import affinity as literal_affinity


@pytest.fixture(scope="module")
def charted(tmp_path_factory, pictures):
    """Three networks, all methods, 20 images: copied by the tests that change it."""
    out = tmp_path_factory.mktemp("charted") / "atlas"
    chart_small(out, pictures, "relu", "gelu", "silu", images=20)
    return out


@pytest.fixture
def copied(charted, tmp_path):
    return shutil.copytree(charted, tmp_path / "atlas")


def test_affinity_is_that_of_bare_autograd_and_the_literal_formula(charted, pictures):
    """Saliency by bare autograd, averaged over 2 x 2 pixels by NumPy, compared by the literal oracle."""
    probe = open_probe(pictures, images=20)
    vectors = []
    for name in ("relu", "gelu", "silu"):
        module, preprocess = getattr(chartable, name)()
        inputs = torch.from_numpy(np.stack([preprocess.tensor(probe.square(k)) for k in range(20)]))
        inputs.requires_grad_(True)
        (gradient,) = torch.autograd.grad(module(inputs).sum(), inputs)
        maps = gradient.abs().mean(1).numpy().astype(np.float64)
        cells = maps.reshape(20, GRID, 2, GRID, 2).sum((2, 4)).reshape(20, -1)
        vectors.append(cells / np.linalg.norm(cells, axis=1, keepdims=True))
    expected = literal_affinity(np.stack(vectors))
    np.testing.assert_allclose(open_atlas(charted).affinity("saliency").to_numpy(), expected, atol=1e-3)


def test_the_folder_holds_what_the_contract_says(charted):
    document = json.loads((charted / "atlas.json").read_text(encoding="utf-8"))
    assert document["format"] == 1
    assert document["settings"]["grid"] == GRID
    assert document["settings"]["images"] == 20
    assert list(document["models"]) == [spec(name) for name in ("relu", "gelu", "silu")]
    model = document["models"][spec("gelu")]
    assert model["status"] == "charted"
    assert model["trained"] is True
    assert model["input_size"] == [16, 16]
    assert model["live"] == dict.fromkeys(METHODS, 20)
    assert model["batch"] >= 1
    assert model["seconds"] > 0
    assert len(model["weights_digest"]) == 64
    assert model["layer"]
    assert document["probe"]["digest"] == json.loads((charted / "probe.json").read_text())["digest"]
    assert document["software"]["torch"]
    for method in METHODS:
        first, *rows = (charted / "affinity" / f"{method}.csv").read_text(encoding="utf-8").splitlines()
        assert first == "," + ",".join(document["models"])
        assert [row.partition(",")[0] for row in rows] == list(document["models"])
        long = (charted / "affinity" / f"{method}.ci.csv").read_text(encoding="utf-8").splitlines()
        assert long[0] == "source,target,affinity,low,high"
        assert len(long) == 1 + 9
        assert (charted / "tree" / f"{method}.nwk").read_text().endswith(";\n")


def test_maps_are_readable_by_plain_zarr(charted):
    group = zarr.open_group(charted / "maps.zarr", mode="r")
    maps = group[model_key(spec("relu"))]["saliency"]
    assert maps.shape == (20, GRID, GRID)
    assert maps.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(maps[:].astype(np.float64), axis=(1, 2)), 1, atol=2e-3)
    norms = group[model_key(spec("relu"))]["saliency.norms"]
    assert norms.dtype == np.float32
    assert (norms[:] > 0).all()


def test_the_same_again_computes_nothing_and_changes_no_byte(copied, pictures):
    before, events = results(copied), []
    maps = {path: path.read_bytes() for path in (copied / "maps.zarr").rglob("*") if path.is_file()}
    chart_small(copied, pictures, "relu", "gelu", "silu", images=20, events=events)
    assert images_computed(events) == {}
    assert results(copied) == before
    assert {path: path.read_bytes() for path in (copied / "maps.zarr").rglob("*") if path.is_file()} == maps


def test_more_images_cost_only_the_new_ones(copied, pictures, tmp_path):
    events = []
    chart_small(copied, pictures, "relu", "gelu", "silu", images=40, events=events)
    assert images_computed(events) == {"relu": 20, "gelu": 20, "silu": 20}
    chart_small(tmp_path / "fresh", pictures, "relu", "gelu", "silu", images=40)
    for method in METHODS:
        extended, fresh = (open_atlas(out).affinity(method) for out in (copied, tmp_path / "fresh"))
        np.testing.assert_allclose(extended, fresh, atol=1e-4)


def test_more_models_cost_only_the_new_ones(copied, pictures):
    events = []
    chart_small(copied, pictures, "relu", "pair", "gelu", "silu", images=20, events=events)
    assert images_computed(events) == {"pair": 20}
    assert list(open_atlas(copied).names) == [spec(name) for name in ("relu", "pair", "gelu", "silu")]


def test_more_methods_cost_only_the_new_ones(tmp_path, pictures):
    chart_small(tmp_path / "a", pictures, "relu", "gelu", images=20, methods=("saliency",))
    assert [path.name for path in sorted((tmp_path / "a" / "affinity").iterdir())] == [
        "saliency.ci.csv",
        "saliency.csv",
    ]
    before = results(tmp_path / "a")
    chunk = tmp_path / "a" / "maps.zarr" / model_key(spec("relu")) / "saliency" / "c" / "0" / "0" / "0"
    written = chunk.stat().st_mtime_ns
    events = []
    chart_small(tmp_path / "a", pictures, "relu", "gelu", images=20, events=events)
    assert images_computed(events) == {"relu": 20, "gelu": 20}
    assert chunk.stat().st_mtime_ns == written
    assert before.items() <= results(tmp_path / "a").items()


def test_fewer_are_drawn_from_what_is_there(copied, pictures, tmp_path):
    events = []
    chart_small(copied, pictures, "silu", "relu", images=12, methods=("epsilon-lrp",), events=events)
    assert images_computed(events) == {}
    chart_small(tmp_path / "fresh", pictures, "silu", "relu", images=12, methods=("epsilon-lrp",))
    # The same images in passes of another size: rounding alone.
    drawn, fresh = (open_atlas(out).affinity("epsilon-lrp") for out in (copied, tmp_path / "fresh"))
    np.testing.assert_allclose(drawn, fresh, atol=1e-4)
    assert sorted(results(copied)) == sorted(results(tmp_path / "fresh"))
    assert open_atlas(copied).maps(spec("relu"))["epsilon-lrp"].shape == (12, GRID, GRID)
    again = []
    chart_small(copied, pictures, "relu", "gelu", "silu", images=20, events=again)
    assert images_computed(again) == {}  # the maps of the others had stayed


def test_another_linkage_only_redraws(copied, pictures):
    before, events = results(copied), []
    times = {path: path.stat().st_mtime_ns for path in (copied / "affinity").iterdir()}
    chart_small(copied, pictures, "relu", "gelu", "silu", images=20, linkage="average", events=events)
    assert images_computed(events) == {}
    assert {path: path.stat().st_mtime_ns for path in (copied / "affinity").iterdir()} == times
    assert results(copied).keys() == before.keys()
    assert results(copied)["tree/saliency.nwk"] != before["tree/saliency.nwk"]


def test_another_similarity_compares_anew_and_computes_no_map(copied, pictures, tmp_path):
    before, events = results(copied), []
    names = ("relu", "gelu", "silu")
    chart_small(copied, pictures, *names, images=20, similarity="correlation", events=events)
    assert images_computed(events) == {}
    atlas = open_atlas(copied)
    assert atlas.similarity == "correlation"
    chart_small(tmp_path / "fresh", pictures, *names, images=20, similarity="correlation")
    assert results(copied) == results(tmp_path / "fresh")
    first, second = (atlas.maps(spec(name))["saliency"].reshape(20, -1) for name in names[:2])
    each = [np.corrcoef(a, b)[0, 1] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(atlas.affinity("saliency").iloc[0, 1], np.mean(each), atol=1e-4)
    for method in SIGNED:
        maps = np.stack([atlas.maps(name)[method].reshape(20, -1) for name in atlas.names])
        alone = affinity(maps, models=atlas.names, similarity="correlation", signed=True)
        np.testing.assert_array_equal(atlas.affinity(method), alone.values)
    chart_small(copied, pictures, *names, images=20)
    assert results(copied) == before


@pytest.mark.parametrize(
    "changed", [{"similarity": "correlation"}, {"models": ("relu", "gelu")}, {"images": 12}]
)
def test_results_that_were_interrupted_are_not_taken_for_the_old_ones(copied, pictures, changed):
    class Interrupted(list):
        def append(self, event):
            if event.kind == "comparing" and any(one.kind == "comparing" for one in self):
                raise KeyboardInterrupt
            super().append(event)

    before, names = results(copied), ("relu", "gelu", "silu")
    options = {"images": 20, **changed}
    with pytest.raises(KeyboardInterrupt):
        chart_small(copied, pictures, *options.pop("models", names), events=Interrupted(), **options)
    assert results(copied) != before
    with pytest.raises(StoreError, match="did not finish"):
        open_atlas(copied).affinity("saliency")
    chart_small(copied, pictures, *names, images=20)
    assert results(copied) == before


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("grid", 16, r"grid: 8 in this atlas, 16 now"),
        ("epsilon", 1e-3, r"epsilon: 0\.0001 in this atlas, 0\.001 now"),
        ("seed", 5, r"seed: 0 in this atlas, 5 now"),
        ("precision", "float64", r"precision: float32 in this atlas, float64 now"),
    ],
)
def test_another_setting_is_a_conflict_that_writes_nothing(copied, pictures, option, value, said):
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.name != ".lock"}
    with pytest.raises(ConflictError, match=said) as caught:
        chart_small(copied, pictures, "relu", images=20, **{option: value})
    assert caught.value.exit_status == 2
    assert (caught.value.what, caught.value.asked) == (option, value)
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.name != ".lock"} == before


def test_another_picture_in_the_probe_is_a_conflict(copied, tmp_path):
    other = write_pictures(tmp_path / "other", 40)
    write_pictures(other, 1, seed=9)  # the first picture is another one now
    with pytest.raises(ConflictError, match="content of the probe"):
        chart_small(copied, other, "relu", images=20)


def _chart_one(out, pictures, text, **options):
    from modelatlas.zoo import read_zoo

    return chart_maps(
        read_zoo(text),
        open_probe(pictures, images=8),
        out,
        Settings(grid=GRID, threads=1),
        trust_code=True,
        engine=HereEngine,
        **options,
    )


def test_another_layer_is_a_conflict(tmp_path, pictures):
    _chart_one(tmp_path / "a", pictures, spec("relu"), layer="1")
    with pytest.raises(ConflictError, match=r"target layer of .*relu: 1 in this atlas, 2 now"):
        _chart_one(tmp_path / "a", pictures, spec("relu"), layer="2")
    with pytest.raises(ConflictError, match=r"1 in this atlas, the default layer now"):
        _chart_one(tmp_path / "a", pictures, spec("relu"))
    assert _chart_one(tmp_path / "a", pictures, spec("relu"), layer="1").charted


def test_other_weights_are_a_conflict(tmp_path, pictures):
    module, _ = chartable.relu()
    torch.save(module.state_dict(), tmp_path / "w.pt")
    text = f"{spec('relu')}?weights={tmp_path / 'w.pt'}"
    _chart_one(tmp_path / "a", pictures, text)
    torch.save({name: value + 0.1 for name, value in module.state_dict().items()}, tmp_path / "w.pt")
    with pytest.raises(ConflictError, match=r"weights of .*relu"):
        _chart_one(tmp_path / "a", pictures, text)
    torch.save(module.state_dict(), tmp_path / "w.pt")
    assert _chart_one(tmp_path / "a", pictures, text).charted


def test_weights_that_are_not_there_are_wrong_input_and_nothing_is_written(tmp_path, pictures):
    with pytest.raises(InputError, match=r"there is no weights file .*nope\.pt"):
        _chart_one(tmp_path / "a", pictures, f"{spec('relu')}?weights={tmp_path / 'nope.pt'}")
    assert not (tmp_path / "a").exists()


def test_a_name_that_stood_for_another_model_is_a_conflict(tmp_path, pictures):
    zoo = '[[model]]\nname = "net"\nspec = "python:chartable:{}"\n'
    (tmp_path / "zoo.toml").write_text(zoo.format("relu"))
    _chart_one(tmp_path / "a", pictures, str(tmp_path / "zoo.toml"))
    (tmp_path / "zoo.toml").write_text(zoo.format("gelu"))
    with pytest.raises(ConflictError, match="spec of net: python:chartable:relu in this atlas"):
        _chart_one(tmp_path / "a", pictures, str(tmp_path / "zoo.toml"))


def test_a_model_that_was_left_out_may_be_repaired_under_its_name(tmp_path, pictures):
    zoo = '[[model]]\nname = "net"\nspec = "python:chartable:{}"\n'
    (tmp_path / "zoo.toml").write_text(zoo.format("vanishing"))
    assert _chart_one(tmp_path / "a", pictures, str(tmp_path / "zoo.toml")).excluded
    (tmp_path / "zoo.toml").write_text(zoo.format("gelu"))
    assert _chart_one(tmp_path / "a", pictures, str(tmp_path / "zoo.toml")).charted == ("net",)


@pytest.mark.parametrize("name", ["pair", "mapping"])
def test_networks_that_return_tuples_and_mappings_are_charted(tmp_path, pictures, name):
    result = chart_small(tmp_path / "a", pictures, name, images=4)
    assert result.charted == (spec(name),)


def test_models_that_fail_are_left_out_with_their_reason_and_tried_again(tmp_path, pictures):
    events = []
    result = chart_small(
        tmp_path / "a",
        pictures,
        "raising",
        "relu",
        "vanishing",
        "starving",
        "absent",
        images=8,
        events=events,
    )
    assert result.charted == (spec("relu"),)
    reasons = {model.rpartition(":")[2]: reason for model, reason in result.excluded.items()}
    assert "ZeroDivisionError: something of the network's own" in reasons["raising"]
    assert "8 of 8 saliency maps are zero, vanishing or not finite" in reasons["vanishing"]
    assert "out of memory, also with the smallest batch" in reasons["starving"]
    assert "no callable 'absent'" in reasons["absent"]
    assert {event.model for event in events if event.kind == "excluded"} == set(result.excluded)
    atlas = open_atlas(tmp_path / "a")
    assert {model.name: model.reason for model in atlas.models if not model.charted} == result.excluded
    assert not (tmp_path / "a" / "tree").exists() or not any((tmp_path / "a" / "tree").iterdir())
    again = []
    chart_small(tmp_path / "a", pictures, "raising", "relu", images=8, events=again)
    assert [event.model for event in again if event.kind == "loading"] == [spec("raising")]


def test_a_batch_that_does_not_fit_is_halved_and_recorded(tmp_path, pictures):
    events = []
    chart_small(tmp_path / "a", pictures, "hungry", images=40, batch=32, events=events)
    assert [event.batch for event in events if event.kind == "halved"] == [16, 8, 4]
    (model,) = open_atlas(tmp_path / "a").models
    assert model.batch == 4
    assert model.live == dict.fromkeys(METHODS, 40)


def test_the_batch_of_a_model_stays_what_it_was_when_it_started(copied, pictures):
    chart_small(copied, pictures, "relu", images=40, batch=3)
    (before,) = (model.batch for model in open_atlas(copied).models)
    assert before != 3


def test_when_all_fail_the_reasons_are_kept_and_old_results_go(copied, pictures):
    result = chart_small(copied, pictures, "raising", images=20)
    assert result.charted == ()
    assert results(copied) == {}
    assert open_atlas(copied).names == ()
    events = []
    chart_small(copied, pictures, "relu", "gelu", "silu", images=20, events=events)
    assert images_computed(events) == {}


def test_a_shard_whose_chunk_was_removed_is_made_again(copied, pictures):
    before = results(copied)
    chunk = copied / "maps.zarr" / model_key(spec("gelu")) / "saliency" / "c" / "0" / "0" / "0"
    chunk.unlink()
    with pytest.raises(StoreError, match=r"is missing.*run the same `modelatlas chart` again"):
        open_atlas(copied).maps(spec("gelu"))
    events = []
    chart_small(copied, pictures, "relu", "gelu", "silu", images=20, events=events)
    assert images_computed(events) == {"gelu": 20}
    assert results(copied) == before


def test_a_damaged_chunk_is_named_with_its_remedy(copied, pictures):
    chunk = copied / "maps.zarr" / model_key(spec("gelu")) / "saliency" / "c" / "0" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0xFF
    chunk.write_bytes(bytes(content))
    with pytest.raises(StoreError, match=r"damaged between images 0 and 19.*c/0"):
        open_atlas(copied).maps(spec("gelu"))
    with pytest.raises(StoreError, match="damaged"):
        chart_small(copied, pictures, "gelu", "relu", images=20)
    chunk.unlink()
    assert chart_small(copied, pictures, "gelu", "relu", images=20).charted


@pytest.mark.parametrize("name", ["model.json", "000000.json"])
def test_a_damaged_journal_is_named_or_made_again(copied, pictures, name):
    (copied / "journal" / model_key(spec("gelu")) / name).write_text('{"done":')
    if name == "model.json":
        with pytest.raises(StoreError, match=r"damaged.*charted anew"):
            chart_small(copied, pictures, "gelu", images=20)
    else:
        events = []
        chart_small(copied, pictures, "gelu", images=20, events=events)
        assert images_computed(events) == {"gelu": 20}


def test_a_picture_that_changes_while_it_is_charted_ends_the_run(tmp_path):
    probe = open_probe(write_pictures(tmp_path / "pictures", 40))

    def changing(event):
        if event.kind == "started":
            shutil.copy(probe.images[0].path, probe.images[35].path)

    options = {"trust_code": True, "engine": HereEngine, "progress": changing}
    with pytest.raises(ProbeError, match="changed since the probe was opened") as caught:
        chart_maps(zoo_of("relu"), probe, tmp_path / "a", Settings(batch=8), **options)
    assert caught.value.image == probe.images[35].id


def test_a_lost_document_costs_no_maps(copied, pictures):
    (copied / "atlas.json").unlink()
    events = []
    chart_small(copied, pictures, "relu", "gelu", "silu", images=20, events=events)
    assert images_computed(events) == {}


@pytest.mark.parametrize("size", [300, 3000])
def test_a_full_disk_loses_nothing(charted, pictures, tmp_path, size):
    """No file may grow beyond `size` bytes: enough for a mark, or for a record, not for the maps."""
    events = []
    with largest_file(size), pytest.raises(StoreError, match=r"cannot write .*To go on, raise the limit"):
        chart_small(tmp_path / "a", pictures, "relu", "gelu", "silu", images=20, events=events)
    assert [path for path in (tmp_path / "a").rglob("*") if path.suffix in (".tmp", ".partial")] == []
    chart_small(tmp_path / "a", pictures, "relu", "gelu", "silu", images=20)
    assert results(tmp_path / "a") == results(charted)


def test_a_second_writer_is_refused_and_readers_are_not(copied, pictures):
    with writer_lock(copied):
        with pytest.raises(LockedError, match="another process is writing") as caught:
            chart_small(copied, pictures, "relu", images=20)
        assert caught.value.exit_status == 2
        assert open_atlas(copied).affinity().shape == (3, 3)


def test_a_folder_of_something_else_is_refused(tmp_path, pictures):
    (tmp_path / "thesis.tex").write_text("months of work")
    with pytest.raises(InputError, match="no atlas and not empty"):
        chart_small(tmp_path, pictures, "relu", images=4)
    with pytest.raises(InputError, match="is a file"):
        chart_small(tmp_path / "thesis.tex", pictures, "relu", images=4)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_wrong_input_is_named_before_anything_is_run(tmp_path, pictures):
    probe, out = open_probe(pictures, images=4), tmp_path / "a"
    cases = [
        (zoo_of("relu"), {"trust_code": False}, "--trust-code"),
        (zoo_of("relu"), {"exclude": ["rellu"]}, "near: python:chartable:relu"),
        (zoo_of("relu"), {"exclude": [spec("relu")]}, "every model of it is excluded"),
        (zoo_of("relu", "gelu"), {"layer": "1"}, "one model, not of 2"),
        (zoo_of("relu"), {"device": "cuda:99"}, "device 'cuda:99'"),
        (zoo_of("relu"), {"device": "abacus"}, "device 'abacus'"),
    ]
    for zoo, options, said in cases:
        settings = Settings(grid=GRID, device=options.pop("device", "auto"))
        with pytest.raises(InputError, match=said):
            chart_maps(zoo, probe, out, settings, engine=HereEngine, **{"trust_code": True, **options})
    assert not out.exists()


def test_excluded_models_are_left_alone(tmp_path, pictures):
    probe, out = open_probe(pictures, images=4), tmp_path / "a"
    result = chart_maps(
        zoo_of("relu", "raising"),
        probe,
        out,
        Settings(grid=GRID),
        exclude=[spec("raising")],
        trust_code=True,
        engine=HereEngine,
    )
    assert result.charted == (spec("relu"),)
    assert result.excluded == {}


@pytest.mark.parametrize("changed", [{"batch": 1}, {"batch": 7}, {"threads": 2}, {"precision": "float64"}])
def test_affinity_does_not_depend_on_how_it_was_computed(charted, pictures, tmp_path, changed):
    result = chart_small(tmp_path / "a", pictures, "silu", "relu", "gelu", images=20, **changed)
    assert result.excluded == {}
    for method in METHODS:
        one, other = (open_atlas(out).affinity(method) for out in (charted, tmp_path / "a"))
        np.testing.assert_allclose(other.loc[one.index, one.columns], one, atol=1e-4)
