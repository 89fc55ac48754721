import pytest
import torch
from minizoo.networks import LUMA, build_decoder, build_encoder, fold_luma, quiet_units

from modelatlas.zoo.architectures.mini import CODE, Encoder


def pictures(count=4, seed=0):
    return torch.rand(count, 3, 128, 128, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_encoder_has_the_size_and_code_that_the_zoo_states():
    encoder = build_encoder(seed=1)
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(0.7e6, rel=0.02)
    assert encoder(pictures(2)).shape == (2, *CODE)


def test_code_is_never_negative_and_the_linear_control_is():
    relu, linear = (build_encoder(seed=1, bottleneck=kind)(pictures()) for kind in ("relu", "linear"))
    assert relu.min() == 0
    assert 0.3 < (relu > 0).float().mean() < 0.7  # a BatchNorm before the ReLU keeps half of it alive
    torch.testing.assert_close(relu, linear.clamp(min=0))
    assert linear.min() < 0


def test_nothing_normalises_the_code():
    """Scaling what comes into the last ReLU scales the code; after a norm it would not."""
    encoder = build_encoder(seed=1).eval()
    before = encoder(pictures())
    with torch.no_grad():
        for parameter in encoder.compress[1].parameters():
            parameter.mul_(3)
    torch.testing.assert_close(encoder(pictures()), 3 * before)


def test_seed_alone_decides_the_weights_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_encoder(seed=2)
    assert torch.equal(torch.rand(3), expected)
    second = build_encoder(seed=2)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.stem[0].weight, build_encoder(seed=3).stem[0].weight)


@pytest.mark.parametrize("readout", [False, True])
@pytest.mark.parametrize(("side", "shape"), [(0, ()), (32, (32, 32)), (64, (64, 64))])
def test_decoders_give_the_answer_its_shape(side, shape, readout):
    decoder = build_decoder(side, 5, seed=0, readout=readout)
    assert decoder(torch.rand(3, *CODE)).shape == (3, 5, *shape)


def test_readout_is_smaller_than_the_decoder():
    for side in (0, 64):
        small, large = (
            sum(p.numel() for p in build_decoder(side, 3, seed=0, readout=r).parameters())
            for r in (True, False)
        )
        assert small < 0.55 * large


def test_folded_luma_sees_colour_as_the_grey_encoder_saw_grey():
    encoder, shown = build_encoder(seed=4).eval(), pictures()
    luma = (shown * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    expected = encoder(luma)
    fold_luma(encoder)
    torch.testing.assert_close(encoder(shown), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encoder(luma), expected, atol=1e-5, rtol=1e-4)


def test_quiet_units_are_named():
    codes = torch.rand(10, *CODE)
    codes[:, 3] = 0
    codes[:, 5] = 0
    codes[0, 5, 0, 0] = 1
    assert quiet_units(codes) == [3, 5]


def test_gradient_reaches_every_weight():
    encoder = Encoder()
    encoder(pictures()).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters() if p.ndim > 1)
