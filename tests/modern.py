"""Blocks of modern architectures written by hand, as their authors write them.

`MODERN` maps names to factories of modules that keep the shape [N, 4, 6, 6], like `tiny.BLOCKS`. They use
more of torch than the oracle of the modified gradient knows; their test is the relevance budget.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiny import BLOCKS, CHANNELS, SIDE, Apply, Attention, Tokens, randomise

TOKENS = SIDE * SIDE


class Gated(nn.Module):
    """signal(a) * gate(b) for the halves a, b of a wider map: GLU and its kin."""

    def __init__(self, gate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.widen, self.gate = nn.Conv2d(CHANNELS, 2 * CHANNELS, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        signal, gate = self.widen(x).chunk(2, 1)
        return signal * self.gate(gate)


class SpatialGate(nn.Module):
    """gMLP: half of the channels, mixed along tokens, multiply the other half."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(2), nn.Linear(TOKENS, TOKENS)
        self.out = nn.Linear(2, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2, -1)
        return self.out(u * self.mix(self.norm(v).transpose(1, 2)).transpose(1, 2))


class Cells(nn.Module):
    """A recurrent cell along the tokens."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), CHANNELS)
        out = []
        for token in x.unbind(1):
            if isinstance(self.cell, nn.LSTMCell):
                h, c = self.cell(token, (h, c))
            else:
                h = self.cell(token, h)
            out.append(h)
        return torch.stack(out, 1)


class HandLSTM(nn.Module):
    """An LSTM from linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(CHANNELS, 4 * CHANNELS), nn.Linear(CHANNELS, 4 * CHANNELS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros_like(x[:, 0])
        out = []
        for t in range(x.shape[1]):
            i, f, g, o = (self.x(x[:, t]) + self.h(h)).split(CHANNELS, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            out.append(h)
        return torch.stack(out, 1)


def _group_norm(x: Tensor) -> Tensor:
    groups = x.reshape(len(x), 2, -1)
    centred = groups - groups.mean(2, keepdim=True)
    return (centred / torch.sqrt(groups.var(2, keepdim=True, unbiased=False) + 1e-5)).reshape(x.shape)


def _instance_norm(x: Tensor) -> Tensor:
    centre = x.mean((2, 3), keepdim=True)
    return (x - centre) * (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).pow(-0.5)


def _norm_by_moments(x: Tensor) -> Tensor:
    mean, square = x.mean(1, keepdim=True), (x**2).mean(1, keepdim=True)
    return (x - mean) / (square - mean**2 + 1e-3).sqrt()


def _rms_by_length(x: Tensor) -> Tensor:
    return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) * CHANNELS**-0.5 + 1e-3)


class Standardised(nn.Conv2d):
    """A convolution whose weights are standardised on every call."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        return F.conv2d(x, (self.weight - mean) * torch.rsqrt(variance + 1e-5), self.bias, padding=1)


class CrossAttention(nn.Module):
    """Learned queries look at the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(CHANNELS, 2, batch_first=True)
        self.queries = nn.Parameter(torch.empty(1, TOKENS, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.queries.expand(len(x), -1, -1), x, x)[0]


class Decoder(nn.Module):
    """A layer of DETR's decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(CHANNELS, 2, 8, batch_first=True)
        self.queries = nn.Parameter(torch.empty(1, TOKENS, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.queries.expand(len(x), -1, -1), x)


class BiasedWindows(nn.Module):
    """Swin: shifted windows, a relative position bias, a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.table = nn.Linear(CHANNELS, 3 * CHANNELS), nn.Parameter(torch.empty(25, 1))
        place = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij")).flatten(1)
        apart = place[:, :, None] - place[:, None, :] + 2
        self.register_buffer("index", apart[0] * 5 + apart[1])

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        cut = x.roll((-1, -1), (2, 3)).reshape(n, CHANNELS, 2, 3, 2, 3)
        q, k, v = self.qkv(cut.permute(0, 2, 4, 3, 5, 1).reshape(-1, 9, CHANNELS)).chunk(3, -1)
        mask = torch.zeros(9, 9, dtype=x.dtype).masked_fill(torch.eye(9, dtype=torch.bool).flip(0), -100.0)
        weights = (q @ k.transpose(-2, -1) * 0.5 + self.table[self.index].squeeze(-1) + mask).softmax(-1)
        mixed = (weights @ v).reshape(n, 2, 2, 3, 3, CHANNELS).permute(0, 5, 1, 3, 2, 4)
        return mixed.reshape(x.shape).roll((1, 1), (2, 3))


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], is_causal=True)[:, 0]


def _biased(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    bias = torch.linspace(-1, 1, TOKENS, dtype=q.dtype).outer(torch.linspace(0, 1, TOKENS, dtype=q.dtype))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _grouped_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    queries = torch.stack([q, q.flip(1)], 1)
    return F.scaled_dot_product_attention(queries, k[:, None], v[:, None], enable_gqa=True).sum(1)


def _linear_elu(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k = F.elu(q) + 1, F.elu(k) + 1
    above = torch.einsum("nic,ncd->nid", q, torch.einsum("nic,nid->ncd", k, v))
    return above / torch.einsum("nic,nc->ni", q, k.sum(1))[..., None]


def _efficient(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q.softmax(-1) @ (k.softmax(1).transpose(1, 2) @ v)


def _cosine(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (10 * F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(1, 2)).softmax(-1) @ v


def _sigmoid(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.sigmoid(q @ k.transpose(1, 2)) @ v / TOKENS


def _best_five(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(1, 2)
    best = scores.topk(5, -1)
    return torch.full_like(scores, -1e9).scatter(-1, best.indices, best.values).softmax(-1) @ v


def _rotary(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    angles = torch.arange(TOKENS, dtype=q.dtype)[:, None] * torch.tensor([1.0, 0.1], dtype=q.dtype)
    turn = torch.polar(torch.ones_like(angles), angles)
    q, k = (
        torch.view_as_real(torch.view_as_complex(t.reshape(len(t), TOKENS, 2, 2)) * turn).flatten(2)
        for t in (q, k)
    )
    return F.scaled_dot_product_attention(q, k, v)


class Deformable(nn.Module):
    """A deformable convolution (with mask) that samples its taps by `sample(x, rows, columns)`.

    rows, columns: places in pixels, [N, H, W].
    """

    def __init__(self, sample: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.offset, self.mask = nn.Conv2d(CHANNELS, 18, 3, padding=1), nn.Conv2d(CHANNELS, 9, 3, padding=1)
        self.weight = nn.Parameter(torch.empty(CHANNELS, CHANNELS, 3, 3))
        self.bias = nn.Parameter(torch.empty(CHANNELS))
        self.sample = sample

    def forward(self, x: Tensor) -> Tensor:
        shift = self.offset(x).unflatten(1, (9, 2))
        gate = self.mask(x).sigmoid()
        rows, columns = torch.meshgrid(*(torch.arange(s, dtype=x.dtype) for s in x.shape[2:]), indexing="ij")
        out = self.bias[:, None, None]
        for tap in range(9):
            down, right = tap // 3 - 1, tap % 3 - 1
            value = self.sample(x, rows + down + shift[:, tap, 0], columns + right + shift[:, tap, 1])
            taken = value * gate[:, tap : tap + 1]
            out = out + torch.einsum("nchw,dc->ndhw", taken, self.weight[:, :, down + 1, right + 1])
        return out


def by_grid_sample(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    height, width = x.shape[2:]
    grid = torch.stack((2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1), -1)
    return F.grid_sample(x, grid, align_corners=True)


def by_gather(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    n, c, height, width = x.shape
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top)[:, None], (columns - left)[:, None]

    def at(row: Tensor, column: Tensor) -> Tensor:
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        place = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
        found = x.flatten(2).gather(2, place.flatten(1)[:, None].expand(n, c, -1)).view(x.shape)
        return found * inside[:, None]

    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


class StateSpace(nn.Module):
    """Mamba's selective scan, token by token or with cumulative sums."""

    def __init__(self, *, loop: bool) -> None:
        super().__init__()
        self.enter, self.step, self.roles = nn.Linear(CHANNELS, 5), nn.Linear(5, 5), nn.Linear(5, 6)
        self.decay, self.skip = nn.Parameter(torch.empty(5, 3)), nn.Parameter(torch.empty(5))
        self.leave, self.loop = nn.Linear(5, CHANNELS), loop

    def forward(self, x: Tensor) -> Tensor:
        u = F.silu(self.enter(x))
        step, (into, out) = F.softplus(self.step(u)), self.roles(u).chunk(2, -1)
        rate = -torch.exp(self.decay) * 0.1
        fed = step[..., None] * into[:, :, None] * u[..., None]
        if self.loop:
            state, states = torch.zeros_like(fed[:, 0]), []
            for t in range(x.shape[1]):
                state = torch.exp(step[:, t, :, None] * rate) * state + fed[:, t]
                states.append(state)
            scanned = torch.stack(states, 1)
        else:
            kept = torch.exp((step[..., None] * rate).cumsum(1))
            scanned = (fed / (kept + 1e-9)).cumsum(1) * kept
        y = torch.einsum("ntds,nts->ntd", scanned, out) + u * self.skip
        return self.leave(y * F.silu(u))


def _long_convolution(x: Tensor) -> Tensor:
    kernel = torch.linspace(1, 0, TOKENS, dtype=x.dtype)
    product = torch.fft.rfft(x.flatten(2), n=2 * TOKENS) * torch.fft.rfft(kernel, n=2 * TOKENS)
    return torch.fft.irfft(product, n=2 * TOKENS)[..., :TOKENS].reshape(x.shape)


def _three_factors(x: Tensor) -> Tensor:
    weight = torch.linspace(-1, 1, CHANNELS**2, dtype=x.dtype).view(CHANNELS, CHANNELS)
    return torch.einsum("nchw,ndhw,cd->nchw", x, x.tanh(), weight)


def _indexing(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, [0, 2]] = x[:, [1, 3]] * 2
    y[:, 1, ::2] = x[:, 3, 1::2]
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[1:3, 2:] = True
    y[..., inside] = y[..., inside].tanh()
    y[..., torch.tensor([0, 5]), torch.tensor([5, 0])] += 0.5
    return y[
        :,
        torch.tensor([3, 2, 1, 0])[:, None, None],
        torch.arange(SIDE - 1, -1, -1)[:, None],
        torch.arange(SIDE),
    ]


def _scattered(x: Tensor) -> Tensor:
    order = x.argsort(1)
    y = torch.take_along_dim(x, order, 1).scatter_add(1, order.flip(1), x.relu())
    y = y.scatter(2, torch.zeros_like(order[:, :, :1]), x[:, :, 1:2])
    y = y.index_add(1, torch.tensor([0, 1]), x[:, 2:].tanh()).index_copy(1, torch.tensor([3]), x[:, :1])
    return y.masked_fill(x > 1, 0.5).index_put((torch.tensor([0]), torch.tensor([3])), x[:1, 2])


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.form = nn.Bilinear(CHANNELS, CHANNELS, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x, x.flip(1))


class SpatialTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Linear(CHANNELS, 6)

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(self.place(x.mean((2, 3))).view(-1, 2, 3), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


class Nested(nn.Module):
    """Calls parts of itself in other orders than they were made, one of them twice, one by a method."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Conv2d(CHANNELS, CHANNELS, 1)

    def again(self, x: Tensor, depth: int) -> Tensor:
        return self.again(torch.tanh(self.second(x)), depth - 1) if depth else self.first(x)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] > SIDE // 2:
            return F.interpolate(self(F.avg_pool2d(x, 2)), scale_factor=2) + self.again(x, 2)
        return self.first.forward(F.silu(self.second(self.first(x))))


MODERN: dict[str, Callable[[], nn.Module]] = {
    "glu by hand": lambda: Gated(torch.sigmoid),
    "swiglu": lambda: Gated(F.silu),
    "geglu": lambda: Gated(F.gelu),
    "reglu": lambda: Gated(F.relu),
    "bilinear gate": lambda: Gated(lambda x: x),
    "softmax gate": lambda: Gated(lambda x: x.mean((2, 3), keepdim=True).softmax(1)),
    "hard gate": lambda: Gated(lambda x: F.hardtanh(x + 0.5, 0, 1)),
    "spatial gate": lambda: Tokens(SpatialGate()),
    "lstm cell": lambda: Tokens(Cells(nn.LSTMCell(CHANNELS, CHANNELS))),
    "gru cell": lambda: Tokens(Cells(nn.GRUCell(CHANNELS, CHANNELS))),
    "rnn cell": lambda: Tokens(Cells(nn.RNNCell(CHANNELS, CHANNELS))),
    "lstm by hand": lambda: Tokens(HandLSTM()),
    "group norm by hand": lambda: Apply(_group_norm),
    "instance norm by hand": lambda: Apply(_instance_norm),
    "norm by moments": lambda: Apply(_norm_by_moments),
    "rms norm by length": lambda: Apply(_rms_by_length),
    "layer norm over a permuted map": lambda: Apply(
        lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (CHANNELS,)).permute(0, 3, 1, 2)
    ),
    "standardised weights": lambda: Standardised(CHANNELS, CHANNELS, 3),
    "local response norm": lambda: nn.LocalResponseNorm(2),
    "cross-attention": lambda: Tokens(CrossAttention()),
    "encoder layer": lambda: Tokens(
        nn.TransformerEncoderLayer(CHANNELS, 2, 8, batch_first=True, norm_first=True, activation="gelu")
    ),
    "decoder layer": lambda: Tokens(Decoder()),
    "shifted windows": BiasedWindows,
    "attention (causal)": lambda: Tokens(Attention(_causal)),
    "attention (bias)": lambda: Tokens(Attention(_biased)),
    "attention (grouped queries)": lambda: Tokens(Attention(_grouped_queries)),
    "attention (rotary)": lambda: Tokens(Attention(_rotary)),
    "attention (cosine)": lambda: Tokens(Attention(_cosine)),
    "attention (sigmoid)": lambda: Tokens(Attention(_sigmoid)),
    "attention (best five)": lambda: Tokens(Attention(_best_five)),
    "linear attention (elu)": lambda: Tokens(Attention(_linear_elu)),
    "linear attention (softmax)": lambda: Tokens(Attention(_efficient)),
    "deformable (grid_sample)": lambda: Deformable(by_grid_sample),
    "deformable (gather)": lambda: Deformable(by_gather),
    "grouped": lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=2),
    "grouped, transposed": lambda: nn.ConvTranspose2d(CHANNELS, CHANNELS, 3, padding=1, groups=2),
    "state space (loop)": lambda: Tokens(StateSpace(loop=True)),
    "state space (sums)": lambda: Tokens(StateSpace(loop=False)),
    "long convolution (fft)": lambda: Apply(_long_convolution),
    "einsum of three": lambda: Apply(_three_factors),
    "outer product": lambda: Apply(lambda x: torch.einsum("nchw,nkhw->nckhw", x, x).mean(2)),
    "product along an axis": lambda: Apply(lambda x: torch.stack([x, x.flip(1), x + 1]).prod(0)),
    "bilinear form": lambda: Tokens(Bilinear()),
    "indexing": lambda: Apply(_indexing),
    "scattering": lambda: Apply(_scattered),
    "unfold and fold": lambda: Apply(lambda x: F.fold(F.unfold(x, 3, padding=1), SIDE, 3, padding=1)),
    "max pool, padded by hand": lambda: Apply(
        lambda x: F.max_pool2d(F.pad(x, (0, 1, 1, 0), value=-torch.inf), 2, 1)
    ),
    "spatial transformer": SpatialTransformer,
    "nested": Nested,
}


def around(block: nn.Module, *, seed: int = 0) -> nn.Sequential:
    """A network of five layers around a block, in float64 with random weights."""
    conv = BLOCKS["conv"]
    return randomise(nn.Sequential(conv(), block, conv(), nn.ReLU(), conv()).double(), seed=seed)
