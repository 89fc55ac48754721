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


class TokensAndClass(nn.Module):
    """A headless transformer: returns its tokens, one more than it made patches."""

    def __init__(self):
        super().__init__()
        self.stem, self.token = nn.Conv2d(3, CHANNELS, 4, 4), nn.Parameter(torch.zeros(1, 1, CHANNELS))
        self.blocks = nn.Sequential(SelfAttention(), SelfAttention())

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        return {"tokens": self.blocks(torch.cat((self.token.expand(len(x), -1, -1), x), 1))}


class Detector(nn.Module):
    """Learned queries look at the encoder's map; classes and boxes for each."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.queries = nn.Parameter(torch.randn(5, 8))
        self.decoder = Apply(lambda x: (self.queries @ x).softmax(-1) @ x.transpose(1, 2))
        self.classes, self.boxes = nn.Linear(8, 21), nn.Linear(8, 4)

    def forward(self, x):
        x = self.decoder(self.encoder(x).flatten(2))
        return {"logits": self.classes(x), "boxes": self.boxes(x)}


class WindowedMap(nn.Module):
    """A backbone that attends within windows, which it counts along the batch axis."""

    def __init__(self):
        super().__init__()
        self.stem, self.attend = nn.Conv2d(3, CHANNELS, 4, 4), SelfAttention()

    def forward(self, x):
        x = self.stem(x)
        n, c, h, w = x.shape
        cut = x.view(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 3, 5, 1).reshape(n * 4, -1, c)
        return self.attend(cut).view(n, 2, 2, h // 2, w // 2, c).permute(0, 5, 1, 3, 2, 4).reshape(x.shape)


class Depth(nn.Module):
    """Returns a map without a channel axis, whose rows are no tokens."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1))
        self.head = nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(12, 1, 1))

    def forward(self, x):
        return self.head(self.encoder(x)).squeeze(1)


class PoolformerLike(nn.Conv2d):
    """Something with "Pool" in its name and weights of its own is no pooling layer."""


class NormedEncoder(nn.Module):
    """A dense network whose encoder ends with a norm: the layer before the norm is the bottleneck."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.GELU(), nn.GroupNorm(1, 8))
        self.project, self.out = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 2, 1)

    def forward(self, x):
        x = self.project(self.encoder(x))
        return self.out(nn.functional.interpolate(x, scale_factor=4))


@pytest.mark.parametrize(
    ("net", "name", "reason"),
    [
        (TokensAndClass(), "blocks", "before pooling"),
        (Detector(), "encoder", "before pooling"),
        (WindowedMap(), "attend", "before pooling"),
        (Depth(), "encoder", "bottleneck"),
        (NormedEncoder(), "encoder.1", "bottleneck"),
        (
            nn.Sequential(PoolformerLike(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
            "0",
            "before pooling",
        ),
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


def test_rows_of_objects_can_still_be_chosen_by_name():
    net = randomise(Detector())
    notes = {layer.name: layer.note for layer in candidate_layers(net, images())}
    assert "object" in notes["decoder"]
    assert "object" in notes["boxes"]
    assert notes["encoder"].startswith("chosen")
    assert attribute(net, images(), layer="decoder")["saliency"].sum() > 0


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
