"""The target layer is chosen by rule from one traced pass, is alive, and says why."""

import pytest
import torch
from torch import nn

from modelatlas.attribution import attribute, candidate_layers, target_layer
from modelatlas.errors import AttributionError
from tiny import CHANNELS, Apply, SelfAttention, Skip, randomise


def images(side=16):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


class Classifier(nn.Module):
    def __init__(self, *, norm=None, tokens=False):
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 4, 4)
        self.to_tokens = Apply(lambda x: x.flatten(2).transpose(1, 2)) if tokens else nn.Identity()
        self.blocks = nn.Sequential(
            *(SelfAttention() if tokens else Skip(nn.Conv2d(CHANNELS, CHANNELS, 1)) for _ in "ab")
        )
        self.norm = norm or nn.Identity()
        self.pool = Apply(lambda x: x.mean(1)) if tokens else nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS, 10))

    def forward(self, x):
        return self.head(self.pool(self.norm(self.blocks(self.to_tokens(self.stem(x))))))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, 2, 1)
        self.bottom = nn.Sequential(nn.Conv2d(8, 32, 1), nn.ReLU(), nn.Conv2d(32, 16, 3, 2, 1), nn.ReLU())
        self.up = nn.Upsample(scale_factor=2)
        self.mix1, self.mix2, self.out = nn.Conv2d(24, 8, 1), nn.Conv2d(12, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(a)
        c = torch.cat((self.up(self.bottom(b)), b), 1)
        return self.out(self.mix2(torch.cat((self.up(self.mix1(c)), a), 1)))


class Dictionary(nn.Module):
    """A segmentation network: a dict of large maps, a head of few channels at the backbone's extent."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1))
        self.classifier = nn.Conv2d(16, 2, 1)

    def forward(self, x):
        return {"out": nn.functional.interpolate(self.classifier(self.backbone(x)), size=x.shape[-2:])}


class FullyConvolutional(nn.Module):
    """SqueezeNet's way: class maps first, pooled afterwards."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(nn.Conv2d(8, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x):
        return self.classifier(self.features(x))


@pytest.mark.parametrize(
    ("net", "name", "reason"),
    [
        (Classifier(), "blocks", "before pooling"),
        (Classifier(norm=nn.BatchNorm2d(CHANNELS)), "norm", "before pooling"),
        (Classifier(norm=nn.GroupNorm(1, CHANNELS)), "blocks", "before the final norm"),
        (Classifier(norm=nn.LayerNorm(CHANNELS), tokens=True), "blocks", "before the final norm"),
        (UNet(), "bottom", "bottleneck"),
        (Dictionary(), "backbone", "bottleneck"),
        (FullyConvolutional(), "features", "before pooling"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "1", "before pooling"),
        (nn.Conv2d(3, 4, 3), "", "last layer of the model"),
        (nn.Sequential(nn.Flatten(), nn.Linear(768, 5)), "", "last layer of the model"),
    ],
)
def test_the_rule(net, name, reason):
    net = randomise(net)
    chosen = target_layer(net, images())
    assert chosen.name == name
    assert reason in chosen.reason
    maps = attribute(net, images())
    assert all(torch.isfinite(found).all() and found.abs().sum() > 0 for found in maps.values())
    explicit = attribute(net, images(), layer=name)
    assert all(torch.equal(maps[method], explicit[method]) for method in maps)


def test_shapes_leave_out_the_batch():
    assert target_layer(randomise(Classifier()), images()).shape == (CHANNELS, 4, 4)


def test_candidates_come_in_order_with_notes():
    net = randomise(Classifier(norm=nn.GroupNorm(1, CHANNELS)))
    layers = candidate_layers(net, images())
    assert [layer.name for layer in layers][-1] == ""
    notes = {layer.name: layer.note for layer in layers}
    assert notes["blocks"].startswith("chosen")
    assert "norm" in notes["norm"]
    assert "no extent" in notes["head.1"]
    assert {layer.name: layer.shape for layer in layers}["head"] == (10,)
    assert {layer.name: layer.kind for layer in layers}["stem"] == "Conv2d"


def test_choosing_leaves_the_model_as_it_was():
    net = randomise(Classifier())
    target_layer(net, images())
    candidate_layers(net, images())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(p.requires_grad for p in net.parameters())


def test_a_model_without_any_live_layer_is_an_error():
    net = nn.Sequential(Apply(lambda x: x.detach() * 2), Apply(torch.round)).eval()
    with pytest.raises(AttributionError, match="no layer of the model"):
        target_layer(net, images())
