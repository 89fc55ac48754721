"""One function written in several ways has one epsilon-lrp map: gates and softmax by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelatlas.attribution import attribute
from modelatlas.attribution.budget import relevance_budget
from modelatlas.errors import AttributionError

S = torch.sigmoid


class Branches(nn.Module):
    """f of three branches of the image."""

    def __init__(self, f):
        super().__init__()
        self.parts = nn.ModuleList(nn.Conv2d(3, 4, 1) for _ in range(3))
        self.out, self.f = nn.Conv2d(4, 4, 1), f

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.f(*(part(x) for part in self.parts)))


def relevance(net, x, **options):
    return attribute(net.eval(), x, layer="", methods=("epsilon-lrp",), **options)["epsilon-lrp"]


def assert_alike(net, one, other, x, *, tolerance=1e-9, **options):
    net.f = one
    expected = relevance(net, x, **options)
    net.f = other
    found = relevance(net, x, **options)
    assert float((found - expected).abs().max()) < tolerance * float(expected.abs().max())


def pixels(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def branches():
    torch.manual_seed(0)
    return Branches(None).double()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda a, b, c: a * S(b) * S(c), lambda a, b, c: a * (S(b) * S(c))),
        (lambda a, b, c: a * (1 - S(b)) * (1 - S(c)), lambda a, b, c: a * ((1 - S(b)) * (1 - S(c)))),
        (lambda a, b, c: a * S(b) / 2 + a * S(c) / 2, lambda a, b, c: a * ((S(b) + S(c)) / 2)),
        (lambda a, b, c: a * S(b), lambda a, b, c: a * torch.cat([S(b[:, :2]), S(b[:, 2:])], 1)),
        (lambda a, b, c: a * S(b), lambda a, b, c: a * S(b).clamp(1e-9, 1)),
        (lambda a, b, c: a * S(b), lambda a, b, c: a * S(b).masked_fill(b > 1e9, 0)),
        (lambda a, b, c: a * S(2 * b), lambda a, b, c: a * (1 + torch.tanh(b)) / 2),
        (lambda a, b, c: a * S(2 * b), lambda a, b, c: a * (0.5 + 0.5 * torch.tanh(b))),
        (lambda a, b, c: a * S(-2 * b), lambda a, b, c: a * (1 - torch.tanh(b)) * 0.5),
    ],
)
def test_a_gate_is_known_in_every_form(branches, one, other):
    assert_alike(branches, one, other, pixels(2, 3, 6, 6))


@pytest.mark.parametrize(
    "signal",
    [
        lambda b: torch.tanh(b) + b.new_zeros(4, 1, 1),
        lambda b: torch.tanh(b) - 0,
        lambda b: b.new_zeros(4, 1, 1) + torch.tanh(b),
        lambda b: b.new_zeros(1) - (-torch.tanh(b)),
    ],
)
def test_a_tanh_with_another_constant_is_a_signal(branches, signal):
    assert_alike(
        branches, lambda a, b, c: a * torch.tanh(b), lambda a, b, c: a * signal(b), pixels(2, 3, 6, 6)
    )


@pytest.mark.parametrize(
    "step",
    [
        lambda z, n, h: n + z * (h - n),
        lambda z, n, h: h + (1 - z) * (n - h),
        lambda z, n, h: torch.lerp(n, h, z),
    ],
)
def test_a_gru_is_one_however_its_update_is_written(step):
    class Gru(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.u = nn.Linear(3, 12), nn.Linear(4, 12)

        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            h = torch.zeros(len(x), 4, dtype=x.dtype)
            for token in tokens.unbind(1):
                (a, b, c), (d, e, g) = self.w(token).chunk(3, -1), self.u(h).chunk(3, -1)
                h = self.f((b + e).sigmoid(), torch.tanh(c + (a + d).sigmoid() * g), h)
            return h

    torch.manual_seed(0)
    assert_alike(Gru().double(), lambda z, n, h: (1 - z) * n + z * h, step, pixels(2, 3, 2, 2))


def _shifted(scores, mask):
    e = torch.exp(scores - scores.amax(-1, keepdim=True))
    return e / e.sum(-1, keepdim=True)


def _kept_from_zero(scores, mask):
    e = torch.exp(scores)
    return e / (e.sum(-1, keepdim=True) + 1e-12)


def _clamped(scores, mask):
    e = torch.exp(scores)
    return e / e.sum(-1, keepdim=True).clamp(min=1e-12)


def _masked(scores, mask):
    e = torch.exp(scores) * mask
    return e / e.sum(-1, keepdim=True)


def _filled(scores, mask):
    e = torch.exp(scores).masked_fill(~mask, 0)
    return e / e.sum(-1, keepdim=True)


@pytest.mark.parametrize(
    ("weights", "masks"),
    [
        (_shifted, False),
        (_kept_from_zero, False),
        (_clamped, False),
        (lambda s, mask: torch.exp(s) / torch.exp(s).sum(-1, keepdim=True), False),
        (lambda s, mask: F.normalize(torch.exp(s), p=1, dim=-1), False),
        (_masked, True),
        (_filled, True),
    ],
)
def test_a_softmax_is_known_in_every_form(weights, masks):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(3, 3) for _ in range(3))

        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            scores = self.q(tokens) @ self.k(tokens).transpose(1, 2)
            return self.f(scores, mask) @ self.v(tokens)

    def softmax(scores, mask):
        return F.softmax(scores.masked_fill(~mask, -1e30) if masks else scores, -1)

    torch.manual_seed(0)
    mask = torch.rand(16, 16) > 0.3
    assert_alike(Attention().double(), softmax, weights, pixels(2, 3, 4, 4), epsilon=1e-9)


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b, c: torch.full_like(a, 1.5).detach() ** (0.3 * a),
        lambda a, b, c: torch.fft.fft2(a).abs(),
        lambda a, b, c: a * b.prod(-1, keepdim=True),
        lambda a, b, c: F.glu(torch.cat([a, b], -1)),
        lambda a, b, c: a.sum((2, 3), keepdim=True) / torch.full((2, 4, 1, 1), 7),
        lambda a, b, c: torch.trapezoid(a, dim=2)[..., None],
    ],
    ids=["power of a constant", "magnitude", "product, last axis", "glu, last axis", "integers", "trapezoid"],
)
def test_no_relevance_is_lost(branches, f):
    branches.f = f
    assert relevance_budget(branches.eval(), pixels(2, 3, 6, 6), layer="").error < 1e-12


def test_the_smaller_of_two_passes_relevance_where_it_was_taken(branches):
    x = pixels(2, 3, 6, 6)
    bound = torch.full((4, 1, 1), 0.1, dtype=torch.float64)
    assert_alike(
        branches, lambda a, b, c: torch.minimum(a, bound), lambda a, b, c: bound.expand_as(a).clamp(max=a), x
    )


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (
            lambda a, b, c: a + torch.div(b, 0.3, rounding_mode="floor"),
            "cannot trace the operation DivBackward",
        ),
        (lambda a, b, c: torch.fft.fft2(a).tanh().real, "nonlinearity of complex numbers"),
        (lambda a, b, c: a.log_softmax(1), "no relevance of layer '' reaches the image"),
    ],
)
def test_what_has_no_rule_is_named(branches, f, words):
    branches.f = f
    with pytest.raises(AttributionError, match=words):
        relevance(branches, pixels(2, 3, 6, 6))


def test_a_function_of_ones_own_is_not_taken_for_torchs_of_that_name(branches):
    def forward(ctx, x):
        return F.silu(x)

    for name in ("Mish", "Norm", "Softmax"):
        own = type(name, (torch.autograd.Function,), {"forward": staticmethod(forward), "backward": forward})
        branches.f = lambda a, b, c, own=own: own.apply(a)
        with pytest.raises(AttributionError, match=f"cannot trace the operation {name}Backward"):
            relevance(branches, pixels(2, 3, 6, 6))


def test_a_full_backward_hook_of_a_module_changes_nothing(branches):
    branches.f, x = lambda a, b, c: a.relu(), pixels(2, 3, 6, 6)
    expected, seen = relevance(branches, x), []
    branches.parts[0].register_full_backward_hook(lambda *args: seen.append(args))
    torch.testing.assert_close(relevance(branches, x), expected, rtol=0, atol=0)
