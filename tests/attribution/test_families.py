"""Real architectures with random weights: a live target by rule, three maps, and the exact relevance budget."""

import pytest
import timm
import torch
from tiny import randomise

from modelatlas.attribution import attribute, target_layer
from modelatlas.attribution.budget import relevance_budget

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
    "swinv2_cr_tiny_224": (224, "stages"),
    "mixer_s32_224": (224, "blocks"),
    "xcit_nano_12_p16_224": (224, "cls_attn_blocks.1"),
    "cait_xxs24_224": (224, "blocks"),
    "convit_tiny": (224, "blocks.11"),
    "coat_tiny": (64, "parallel_blocks.5"),
    "poolformer_s12": (64, "stages"),
    "edgenext_xx_small": (64, "stages"),
    "pvt_v2_b0": (64, "stages"),
    "levit_128": (224, "stages"),
    "eva02_tiny_patch14_224": (224, "blocks.11"),
    "regnetx_002": (64, "s4"),
    "inception_v3": (96, "Mixed_7c"),
    "skresnet18": (64, "layer4"),
    "hrnet_w18_small": (64, "final_layer"),
    "halonet_h1": (64, "stages"),
    "maxvit_rmlp_pico_rw_256": (256, "stages"),
    "tiny_vit_5m_224": (224, "stages"),
    "gmlp_ti16_224": (224, "blocks"),
    "resnest14d": (64, "layer4"),
    "mobilevit_xxs": (64, "final_conv"),
    "efficientformer_l1": (224, "stages"),
}


def check(name, side, layer):
    torch.manual_seed(0)
    net = randomise(timm.create_model(name, pretrained=False).double())
    x = torch.randn(1, 3, side, side, dtype=torch.float64)
    chosen = target_layer(net, x)
    assert chosen.name == layer
    maps = attribute(net, x)
    assert all(torch.isfinite(found).all() and found.abs().sum() > 0 for found in maps.values())
    budget = relevance_budget(net, x, layer=layer)
    assert budget.error < 1e-8
    assert float(maps["epsilon-lrp"].sum()) == pytest.approx(budget.inputs, abs=1e-8 * budget.magnitude)


@pytest.mark.parametrize("name", FAST)
def test_a_family_of_timm(name):
    check(name, *FAST[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_another_family_of_timm(name):
    check(name, *SLOW[name])
