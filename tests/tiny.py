"""Toy networks, attributed in milliseconds, with every kind of operation that real ones are made of.

`BLOCKS` maps names to factories of modules that keep the shape [N, 4, 6, 6], so that any sequence of them
is a network; `network` joins some.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS, SIDE = 4, 6
SHAPE = (CHANNELS, SIDE, SIDE)


def randomise(module: nn.Module, *, seed: int = 0) -> nn.Module:
    """Draw all weights anew, biases and BatchNorm statistics included, and set evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            spread = max(1, value[0].numel() if value.dim() > 1 else 1) ** -0.5
            value.copy_(torch.randn(value.shape, generator=generator) * spread)
            if value.dim() == 1 and name.rpartition(".")[2] in ("weight", "gamma"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        for name, value in module.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
            elif name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return module.eval()


def images(count: int = 2, *, channels: int = CHANNELS, side: int = SIDE, seed: int = 1) -> Tensor:
    """Random images, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, side, side, generator=generator, dtype=torch.float64)


def network(*blocks: str, seed: int = 0) -> nn.Sequential:
    """Named blocks in a row, random weights, float64. The layers are called "0", "1", ..."""
    net = nn.Sequential(*(BLOCKS[block]() for block in blocks))
    return randomise(net.double(), seed=seed)  # type: ignore[return-value]


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Skip(nn.Module):
    """x + f(x)."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class SqueezeExcite(nn.Module):
    """Channels scaled by a gate that a pooled copy of them computes."""

    def __init__(self, gate: Callable[[Tensor], Tensor] = torch.sigmoid) -> None:
        super().__init__()
        self.reduce, self.expand, self.gate = nn.Conv2d(CHANNELS, 2, 1), nn.Conv2d(2, CHANNELS, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True)))))


class Tokens(nn.Module):
    """Runs `inner` on tokens [N, H*W, C]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return self.inner(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(n, c, h, w)


class Attention(nn.Module):
    """One head over tokens; `mix(q, k, v)` is the attention itself."""

    def __init__(self, mix: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.qkv, self.out, self.mix = nn.Linear(CHANNELS, 3 * CHANNELS), nn.Linear(CHANNELS, CHANNELS), mix

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.mix(*self.qkv(x).chunk(3, -1)))


class SelfAttention(nn.Module):
    """`nn.MultiheadAttention` over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(CHANNELS, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(x, x, x, need_weights=False)[0]


class ClassToken(nn.Module):
    """Adds a position embedding and a class token, attends, drops the token again."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, CHANNELS))
        self.place = nn.Parameter(torch.empty(1, SIDE * SIDE + 1, CHANNELS))
        self.attention = Attention(F.scaled_dot_product_attention)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat((self.token.expand(len(x), -1, -1), x), 1) + self.place
        return (x + self.attention(x))[:, 1:]


class HandNorm(nn.Module):
    """Layer norm over channels from primitives."""

    def __init__(self, *, root: bool = False) -> None:
        super().__init__()
        self.weight, self.bias, self.root = (
            nn.Parameter(torch.empty(CHANNELS)),
            nn.Parameter(torch.empty(CHANNELS)),
            root,
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.root:
            x = x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6)
        else:
            mean = x.mean(1, keepdim=True)
            x = (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-5)
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class GlobalResponse(nn.Module):
    """ConvNeXt V2's GRN."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.empty(CHANNELS)), nn.Parameter(torch.empty(CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        size = x.norm(p=2, dim=(2, 3), keepdim=True)
        ratio = size / (size.mean(1, keepdim=True) + 1e-6)
        return x + torch.addcmul(self.beta.view(1, -1, 1, 1), self.gamma.view(1, -1, 1, 1), x * ratio)


class GatedUnit(nn.Module):
    """A GRU's update written by hand: (1 - z) * n + z * x."""

    def __init__(self) -> None:
        super().__init__()
        self.update, self.new = nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.sigmoid(self.update(x))
        return (1 - z) * torch.tanh(self.new(x)) + z * x


class Branches(nn.Module):
    """Two convolutions, joined along channels and mixed again."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(CHANNELS, 3, 3, padding=1), nn.Conv2d(CHANNELS, 2, 1)
        self.mix = nn.Conv2d(5, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(F.relu(torch.cat([self.left(x), self.right(x)], 1)))


def _conv(**options: int) -> nn.Conv2d:
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, **options)


def _hand_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(1, 2) * 0.5
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True) @ v


def _einsum_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("nij,njc->nic", torch.einsum("nic,njc->nij", q, k).softmax(-1), v)


class TalkingHeads(nn.Module):
    """Attention weights mixed by an affine map, as in CaiT: constants with a bias of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.mix = nn.Linear(CHANNELS, 3 * CHANNELS), nn.Linear(SIDE * SIDE, SIDE * SIDE)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.mix((q @ k.transpose(1, 2)).softmax(-1)) @ v


def _linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k = F.relu(q), F.relu(k)
    return q @ (k.transpose(1, 2) @ v) / (q @ k.sum(1)[:, :, None] + 1e-3)


def _var_mean(x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, 1, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + 1e-5) + 0.1 * variance


def _neighbours(x: Tensor) -> Tensor:
    return x * torch.relu(x.roll(1, 1))


def _relu_view_in_place(x: Tensor) -> Tensor:
    x = x.clone()
    half = x[:, :2]
    half.relu_()
    return x


def _sigmoid_view_in_place(x: Tensor) -> Tensor:
    x = x * 1.5
    x[:, 0] = x[:, 0].tanh()
    x[:, 1:3].sigmoid_()
    return x


def _augmented(x: Tensor) -> Tensor:
    x = x.clone()
    x += 0.5
    x *= 2
    x[..., 1:] *= torch.sigmoid(x[..., 1:])
    x -= x.mean((2, 3), keepdim=True)
    return x


def _shuffle(x: Tensor) -> Tensor:
    return F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).roll(1, 2).flip(3)


def _windows(x: Tensor) -> Tensor:
    cut = x.unfold(2, 3, 3).unfold(3, 3, 3).mean((-1, -2))
    return F.interpolate(cut, size=x.shape[-2:], mode="bilinear", align_corners=False)


BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "conv": _conv,
    "depthwise": lambda: _conv(groups=CHANNELS),
    "dilated": lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2, bias=False),
    "transposed": lambda: nn.Sequential(nn.MaxPool2d(2), nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, stride=2)),
    "linear": lambda: Tokens(nn.Linear(CHANNELS, CHANNELS)),
    "batch norm": lambda: nn.BatchNorm2d(CHANNELS),
    "layer norm": lambda: Tokens(nn.LayerNorm(CHANNELS)),
    "group norm": lambda: nn.GroupNorm(2, CHANNELS),
    "instance norm": lambda: nn.InstanceNorm2d(CHANNELS, affine=True),
    "rms norm": lambda: Tokens(nn.RMSNorm(CHANNELS)),
    "layer norm by hand": HandNorm,
    "rms norm by hand": lambda: HandNorm(root=True),
    "relu": nn.ReLU,
    "relu in place": lambda: nn.Sequential(_conv(), nn.ReLU(inplace=True)),
    "relu as method": lambda: Apply(lambda x: x.relu()),
    "reused relu": lambda: nn.Sequential(_conv(), relu := nn.ReLU(), _conv(), relu),
    "sigmoid": nn.Sigmoid,
    "sigmoid in place": lambda: Apply(lambda x: (x * 2).sigmoid_()),
    "tanh": lambda: Apply(F.tanh),
    "gelu": nn.GELU,
    "gelu (tanh)": lambda: nn.GELU(approximate="tanh"),
    "gelu by hand": lambda: Apply(lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5))),
    "gelu (tanh) by hand": lambda: Apply(lambda x: 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.0447 * x**3)))),
    "quick gelu": lambda: Apply(lambda x: x * torch.sigmoid(1.702 * x)),
    "silu": nn.SiLU,
    "silu in place": lambda: nn.Sequential(_conv(), nn.SiLU(inplace=True)),
    "silu by hand": lambda: Apply(lambda x: x * x.sigmoid()),
    "mish": nn.Mish,
    "mish by hand": lambda: Apply(lambda x: x * torch.tanh(F.softplus(x))),
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "elu": nn.ELU,
    "elu in place": lambda: nn.Sequential(_conv(), nn.ELU(inplace=True)),
    "selu in place": lambda: nn.Sequential(_conv(), nn.SELU(inplace=True)),
    "celu": nn.CELU,
    "leaky relu": lambda: nn.LeakyReLU(0.1),
    "leaky relu in place": lambda: nn.Sequential(_conv(), nn.LeakyReLU(0.1, inplace=True)),
    "prelu": lambda: nn.PReLU(CHANNELS),
    "relu6": nn.ReLU6,
    "clamp": lambda: Apply(lambda x: x.clamp(-0.4, 0.7)),
    "clamp min": lambda: Apply(lambda x: x.clamp_min(0.1)),
    "hardtanh in place": lambda: nn.Sequential(_conv(), nn.Hardtanh(inplace=True)),
    "hardswish": nn.Hardswish,
    "hardswish by hand": lambda: Apply(lambda x: x * F.relu6(x + 3) / 6),
    "hardsigmoid": nn.Hardsigmoid,
    "threshold": lambda: nn.Threshold(0.2, -0.3),
    "softshrink": nn.Softshrink,
    "log sigmoid": nn.LogSigmoid,
    "abs": lambda: Apply(torch.abs),
    "sin": lambda: Apply(torch.sin),
    "exp": lambda: Apply(lambda x: torch.exp(0.1 * x)),
    "shifted exp": lambda: Apply(lambda x: torch.exp(0.1 * x - 0.5)),
    "power of two": lambda: Apply(lambda x: 2 ** (0.1 * x)),
    "first power": lambda: Apply(lambda x: x**1),
    "log softmax": lambda: Apply(lambda x: x * torch.exp(torch.log_softmax(x, 1))),
    "logsumexp": lambda: Apply(lambda x: x * torch.exp(x - torch.logsumexp(x, 1, keepdim=True))),
    "log": lambda: Apply(lambda x: torch.log(x.abs() + 0.5)),
    "sqrt": lambda: Apply(lambda x: torch.sqrt(x.relu() + 0.1)),
    "square": lambda: Apply(torch.square),
    "x times x": lambda: Apply(lambda x: 0.3 * x * x),
    "cube": lambda: Apply(lambda x: 0.1 * x**3),
    "generalised mean": lambda: Apply(
        lambda x: x.clamp(min=0.1).pow(3).mean((2, 3), keepdim=True).pow(1 / 3) + x
    ),
    "max pool": lambda: nn.MaxPool2d(3, 1, 1),
    "average pool": lambda: nn.AvgPool2d(3, 1, 1),
    "adaptive pool": lambda: Apply(lambda x: F.interpolate(F.adaptive_avg_pool2d(x, 4), size=SIDE)),
    "adaptive max pool": lambda: Apply(lambda x: x + F.adaptive_max_pool2d(x, 1)),
    "resize": lambda: Apply(_windows),
    "pad": lambda: Apply(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")[..., 1:-1, 2:]),
    "pad with a constant": lambda: nn.Sequential(
        nn.ConstantPad2d((0, 1, 1, 0), 0.7), nn.Conv2d(CHANNELS, CHANNELS, 2)
    ),
    "shuffle": lambda: Apply(_shuffle),
    "gather": lambda: Apply(lambda x: x[:, [3, 1, 0, 2]].index_select(2, torch.tensor([5, 4, 3, 2, 1, 0]))),
    "where": lambda: Apply(lambda x: torch.where(x > 0, x, 0.3)),
    "maximum": lambda: Apply(lambda x: torch.maximum(x, x.flip(2))),
    "sort": lambda: Apply(lambda x: x.sort(2).values),
    "skip": lambda: Skip(_conv(), nn.BatchNorm2d(CHANNELS), nn.ReLU()),
    "branches": Branches,
    "squeeze-excite": SqueezeExcite,
    "squeeze-excite (hard)": lambda: SqueezeExcite(F.hardsigmoid),
    "squeeze-excite (by hand)": lambda: SqueezeExcite(lambda x: F.relu6(x + 3) / 6),
    "gated unit": GatedUnit,
    "glu": lambda: nn.Sequential(nn.Conv2d(CHANNELS, 2 * CHANNELS, 1), nn.GLU(1)),
    "product": lambda: Apply(lambda x: x[:, [1, 2, 3, 0]] * x.mean(1, keepdim=True)),
    "response norm": GlobalResponse,
    "sigmoid, norm, product": lambda: nn.Sequential(
        nn.Sigmoid(), nn.BatchNorm2d(CHANNELS), Apply(_neighbours)
    ),
    "relu6 times": lambda: Apply(lambda x: F.relu6(x) * x.flip(1)),
    "centred": lambda: Apply(lambda x: x - x.mean(1, keepdim=True)),
    "variance and mean at once": lambda: Apply(_var_mean),
    "lerp": lambda: Apply(lambda x: torch.lerp(x, x.flip(2), 0.3) + torch.lerp(x, x.roll(1, 3), x.sigmoid())),
    "addcdiv": lambda: Apply(lambda x: torch.addcdiv(x, x.flip(2), x.abs() + 1, value=0.5)),
    "unit length": lambda: Apply(lambda x: F.normalize(x, dim=1)),
    "standardised": lambda: Apply(lambda x: (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 0.1)),
    "attention": lambda: Tokens(Attention(F.scaled_dot_product_attention)),
    "attention by hand": lambda: Tokens(Attention(_hand_softmax)),
    "attention (einsum)": lambda: Tokens(Attention(_einsum_attention)),
    "linear attention": lambda: Tokens(Attention(_linear_attention)),
    "multi-head attention": lambda: Tokens(SelfAttention()),
    "talking heads": lambda: Tokens(TalkingHeads()),
    "class token": lambda: Tokens(ClassToken()),
    "relu on a view": lambda: Apply(_relu_view_in_place),
    "sigmoid on a view": lambda: Apply(_sigmoid_view_in_place),
    "augmented assignment": lambda: Apply(_augmented),
}
