"""Epsilon-lrp against Zennit, an independent library: epsilon rule on linear layers, BatchNorm merged."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import VGG, make_layers
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite
from zennit.layer import Sum
from zennit.rules import Epsilon, Pass
from zennit.torchvision import ResNetCanonizer
from zennit.types import Activation, AvgPool, BatchNorm, Convolution, Linear

from modelatlas.attribution import attribute
from tiny import images, randomise


def zennit_relevance(net, x, epsilon, canonizer):
    rules = [
        (Activation, Pass()),
        (Sum, Epsilon(epsilon=epsilon)),
        (AvgPool, Epsilon(epsilon=epsilon)),
        (BatchNorm, Pass()),
        (Convolution, Epsilon(epsilon=epsilon)),
        (Linear, Epsilon(epsilon=epsilon)),
    ]
    leaf = x.clone().requires_grad_()
    with LayerMapComposite(rules, canonizers=[canonizer]).context(net) as modified:
        out = modified(leaf)
        (relevance,) = torch.autograd.grad(out, leaf, grad_outputs=out.detach())
    return relevance


def vgg_bn():
    net = VGG(make_layers([6, "M", 8, "M", 10, 10, "M"], batch_norm=True), num_classes=5, init_weights=False)
    net.avgpool, net.classifier = nn.Identity(), nn.Identity()
    return net, "features", SequentialMergeBatchNorm()


def resnet(block):
    net = ResNet(block, [1, 2, 1, 1])
    net.avgpool, net.fc = nn.Identity(), nn.Identity()
    return net, "layer4", ResNetCanonizer()


@pytest.mark.parametrize(
    "make",
    [vgg_bn, lambda: resnet(BasicBlock), lambda: resnet(Bottleneck)],
    ids=["vgg", "basic", "bottleneck"],
)
def test_equals_the_epsilon_rule_with_merged_batch_norm(make):
    net, layer, canonizer = make()
    net = randomise(net.double())
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-14  # Zennit leaves a factor of 1 / sqrt(1 + eps) behind when it merges
    x = images(2, channels=3, side=32)
    small = attribute(net, x, layer=layer, methods=("epsilon-lrp",), epsilon=1e-10)["epsilon-lrp"]
    exact = zennit_relevance(net, x, 1e-10, canonizer)
    torch.testing.assert_close(small, exact, rtol=1e-5, atol=1e-6 * float(exact.abs().max()))
    # At the usual eps the two differ in where it stands: after every linear layer there, at every ReLU here.
    usual = attribute(net, x, layer=layer, methods=("epsilon-lrp",), epsilon=1e-4)["epsilon-lrp"]
    theirs = zennit_relevance(net, x, 1e-4, canonizer)
    assert float(torch.cosine_similarity(usual.flatten(1), theirs.flatten(1)).min()) > 0.999
