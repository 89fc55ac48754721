"""Real architectures, random weights: a live target by rule, three maps, the exact relevance budget."""

import pytest
import timm
import torch
import torchvision

from modelatlas.attribution import attribute, target_layer
from modelatlas.attribution.budget import relevance_budget
from tiny import randomise

FAST = {  # architecture: side of the images, target layer
    "test_resnet": (64, "layer4"),
    "test_efficientnet": (64, "bn2"),
    "mobilenetv3_small_050": (64, "blocks"),  # squeeze-excite, hard swish
    "test_convnext": (64, "stages"),
    "test_convnext2": (64, "stages"),
    "test_vit": (160, "blocks"),
    "test_nfnet": (64, "final_act"),
    "test_byobnet": (64, "stages"),
    "test_mambaout": (64, "stages"),
    "ghostnet_050": (64, "blocks"),
}
SLOW = {
    "vgg11_bn": (64, "features"),
    "densenet121": (64, "features"),
    "deit_tiny_patch16_224": (224, "blocks"),
    "swin_tiny_patch4_window7_224": (224, "layers"),
    "swinv2_cr_tiny_224": (224, "stages.3.blocks.1.mlp"),
    "mixer_s32_224": (224, "blocks"),
    "xcit_nano_12_p16_224": (224, "cls_attn_blocks.1"),
    "cait_xxs24_224": (224, "blocks"),
    "convit_tiny": (224, "blocks.11"),
    "coat_tiny": (224, "parallel_blocks.5"),
    "poolformer_s12": (64, "stages"),
    "edgenext_xx_small": (64, "stages"),
    "pvt_v2_b0": (64, "stages.3.blocks.1"),
    "levit_128": (224, "stages"),
    "eva02_tiny_patch14_224": (224, "blocks.11"),
    "regnetx_002": (64, "s4"),
    "inception_v3": (128, "Mixed_7c"),
    "skresnet18": (64, "layer4"),
    "hrnet_w18_small": (64, "final_layer"),
    "halonet_h1": (256, "stages"),
    "maxvit_rmlp_pico_rw_256": (256, "stages"),
    "tiny_vit_5m_224": (224, "stages"),
    "gmlp_ti16_224": (224, "blocks"),
    "resnest14d": (64, "layer4"),
    "mobilevit_xxs": (64, "final_conv"),
    "efficientformer_l1": (224, "stages"),
}


TORCHVISION = {
    "squeezenet1_1": (64, "features"),  # class maps, pooled at the end
    "shufflenet_v2_x0_5": (64, "conv5"),
    "mobilenet_v2": (64, "features"),
    "swin_t": (64, "features"),
    "googlenet": (64, "inception5b"),
    "lraspp_mobilenet_v3_large": (96, "backbone.16"),  # returns a dict
    "fcn_resnet50": (64, "backbone"),
}


def check(net, side, layer):
    net = randomise(net.double())
    x = torch.randn(1, 3, side, side, dtype=torch.float64)
    chosen = target_layer(net, x)
    assert chosen.name == layer
    maps = attribute(net, x)
    assert all(torch.isfinite(found).all() and found.abs().sum() > 0 for found in maps.values())
    budget = relevance_budget(net, x, layer=layer)
    assert budget.error < 1e-5 * abs(budget.inputs) / budget.magnitude
    # Not through the same operations: for `constants`, biases and BatchNorm are taken apart.
    assert float(maps["epsilon-lrp"].sum()) == pytest.approx(
        budget.inputs, rel=1e-6, abs=1e-8 * budget.magnitude
    )


@pytest.mark.parametrize("name", FAST)
def test_a_family_of_timm(name):
    check(timm.create_model(name, pretrained=False), *FAST[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_another_family_of_timm(name):
    check(timm.create_model(name, pretrained=False), *SLOW[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_a_network_of_torchvision(name):
    options = {"init_weights": False} if name == "googlenet" else {}
    if hasattr(torchvision.models.segmentation, name):
        options = {"weights_backbone": None}
    check(torchvision.models.get_model(name, weights=None, **options), *TORCHVISION[name])


def test_a_network_without_a_head_keeps_its_features():
    check(timm.create_model("test_resnet", pretrained=False, num_classes=0), 64, "layer4")
    check(timm.create_model("test_vit", pretrained=False, num_classes=0), 160, "blocks")
