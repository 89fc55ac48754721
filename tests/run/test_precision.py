"""bfloat16 where it is asked for or a check holds, and the order in memory that a network takes."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import chartable
from chartable import chart_small, images_computed, results, spec, write_pictures
from modelatlas.atlas import open_atlas
from modelatlas.errors import ConflictError, InputError
from modelatlas.run.precision import AGREEMENT, has_bfloat16, memory_format
from modelatlas.zoo import Preprocess

CPU = torch.device("cpu")
needs_bfloat16 = pytest.mark.skipif(
    not has_bfloat16(CPU), reason="the processor has no bfloat16 instructions"
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), 40)


def model_of(out, name):
    return json.loads((out / "atlas.json").read_text())["models"][spec(name)]


def shaky():
    """A network of which bfloat16 makes another one: small differences of large numbers."""

    class Differences(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, _ = chartable.network(6)

        def forward(self, x):
            return torch.relu(self.body[0](x + 30) - self.body[0](torch.full_like(x, 30.5)))

    return Differences().eval(), Preprocess(height=16, width=16)


@needs_bfloat16
def test_bfloat16_moves_maps_a_little_and_affinities_less(tmp_path, pictures):
    exact, low = tmp_path / "exact", tmp_path / "low"
    chart_small(exact, pictures, "gelu", "silu")
    chart_small(low, pictures, "gelu", "silu", precision="bf16")
    assert model_of(low, "gelu")["precision"] == "bf16"
    a, b = open_atlas(exact), open_atlas(low)
    for method in a.methods:
        assert results(exact)[f"affinity/{method}.csv"] != results(low)[f"affinity/{method}.csv"]
        np.testing.assert_allclose(a.affinity(method), b.affinity(method), atol=0.005)
        cosines = (a.maps(spec("gelu"))[method].astype(float) * b.maps(spec("gelu"))[method]).sum((1, 2))
        assert 0.98 < cosines.mean() < 1.001
        assert cosines.mean() != 1


@needs_bfloat16
def test_auto_takes_it_only_where_the_check_holds_and_says_what_it_found(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(chartable, "shaky", shaky, raising=False)
    out = tmp_path / "atlas"
    chart_small(out, pictures, "gelu", "shaky", precision="auto")
    smooth, rough = model_of(out, "gelu"), model_of(out, "shaky")
    assert smooth["precision"] == "bf16"
    assert min(smooth["precision_check"].values()) >= AGREEMENT
    assert set(smooth["precision_check"]) == set(open_atlas(out).methods)
    assert rough["precision"] == "float32"
    assert min(rough["precision_check"].values()) < AGREEMENT


@needs_bfloat16
def test_auto_goes_on_with_what_it_began_with(tmp_path, pictures, monkeypatch):
    out, events = tmp_path / "atlas", []
    chart_small(out, pictures, "gelu", images=32, precision="auto")
    assert model_of(out, "gelu")["precision"] == "bf16"
    monkeypatch.setattr("modelatlas.run.network.AGREEMENT", 2.0)  # a check made now would fail
    chart_small(out, pictures, "gelu", images=40, precision="auto", events=events)
    assert model_of(out, "gelu")["precision"] == "bf16"
    assert images_computed(events) == {"gelu": 8}
    with pytest.raises(ConflictError, match="precision: auto in this atlas, float32 now"):
        chart_small(out, pictures, "gelu", images=40)


def test_a_processor_without_it_refuses_bf16_and_auto_is_float32(tmp_path, pictures, monkeypatch):
    for room in ("network", "preparation"):
        monkeypatch.setattr(f"modelatlas.run.{room}.has_bfloat16", lambda device: False)
    with pytest.raises(InputError, match="cpu does not multiply bfloat16 itself"):
        chart_small(tmp_path / "low", pictures, "gelu", precision="bf16")
    assert not (tmp_path / "low").exists()
    auto, exact = tmp_path / "auto", tmp_path / "exact"
    chart_small(auto, pictures, "gelu", "silu", precision="auto")
    chart_small(exact, pictures, "gelu", "silu")
    assert results(auto) == results(exact)
    assert model_of(auto, "gelu")["precision_check"] is None


def test_an_atlas_of_before_precisions_were_recorded_goes_on(tmp_path, pictures):
    out = tmp_path / "atlas"
    chart_small(out, pictures, "gelu", images=32)
    (record,) = out.glob("journal/*/model.json")
    kept = json.loads(record.read_text())
    del kept["precision"], kept["precision_check"]
    record.write_text(json.dumps(kept))
    chart_small(out, pictures, "gelu", images=20)
    assert model_of(out, "gelu")["precision"] == "float32"


class Viewing(nn.Module):
    """Reshapes with `view`, which takes channels-first numbers only."""

    def __init__(self) -> None:
        super().__init__()
        self.body, _ = chartable.network(7)

    def forward(self, x):
        y = self.body(x)
        return y.view(len(y), -1)


def test_channels_last_where_the_network_takes_it():
    image = torch.rand(1, 3, 16, 16)
    convolutional, _ = chartable.network(8)
    expected = convolutional(image)
    assert memory_format(convolutional, image) is torch.channels_last
    assert convolutional[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(convolutional(image), expected)

    viewing = Viewing()
    assert memory_format(viewing, image) is torch.contiguous_format
    assert viewing.body[0].weight.is_contiguous()
    assert viewing(image).shape == (1, 196)

    assert memory_format(nn.Linear(3, 3), image) is torch.contiguous_format
