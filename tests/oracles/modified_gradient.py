"""The modified gradient from first principles.

Every call of the forward pass is replaced by one whose ordinary gradient is the modified one, by explicit
autograd functions and `detach`. Shares nothing with the engine, which leaves the forward pass alone and reads
the graph. Slow, literal, and only for functions that the tests use; any other that touches an image-dependent
tensor is an error.
"""

import inspect

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Nonlinear(torch.autograd.Function):
    """y = f(z), backward with y / (z + eps * s(z))."""

    @staticmethod
    def forward(ctx, z, f, epsilon):
        y = f(z)
        ctx.factor = y / torch.where(z < 0, z - epsilon, z + epsilon)
        return y

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor, None, None


class Half(torch.autograd.Function):
    """Identity, backward with one half."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return grad / 2


def modified_gradient(net, images, *, epsilon=1e-4):
    """Modified gradient of the sum over `net`'s output with respect to the images."""
    leaf = images.clone().requires_grad_()
    flags = [p.requires_grad_(False) for p in net.parameters()]
    try:
        with Rewritten(epsilon):
            total = net(leaf * 1).sum()
        return torch.autograd.grad(total, leaf)[0]
    finally:
        for p in flags:
            p.requires_grad_(True)


def words(text):
    return text.split()


NONLINEAR = words(
    "relu sigmoid tanh gelu silu mish softplus elu selu celu leaky_relu prelu relu6 hardtanh "
    "hardswish hardsigmoid _threshold softshrink log_sigmoid erf abs sin exp log sqrt square clamp "
    "clamp_min pow __pow__"
)
LINEAR = words(
    "conv2d conv_transpose2d batch_norm max_pool2d boolean_dispatch avg_pool2d adaptive_avg_pool2d "
    "adaptive_max_pool2d unfold mean sum amax cat add __add__ __radd__ sub __sub__ __rsub__ where "
    "maximum sort chunk split unbind linear view_as contiguous norm linalg_vector_norm std detach clone "
    "cumsum stack fold topk"
)
VIEWS = words(
    "flatten transpose reshape view expand unsqueeze permute __getitem__ flip roll pixel_shuffle "
    "pixel_unshuffle interpolate pad index_select unflatten repeat_interleave"
)
SHIFTS = words("add __add__ __radd__ sub __sub__ __rsub__")
FREE = words(
    "dim size __len__ is_floating_point dtype shape device requires_grad values __get__ type numel "
    "__bool__ __gt__ __lt__ gt lt zeros_like new_zeros argsort"
)


class Rewritten(TorchFunctionMode):
    def __init__(self, epsilon):
        super().__init__()
        self.epsilon = epsilon

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = func.__name__
        tensors = [a for a in [*args, *kwargs.values()] if isinstance(a, Tensor)]
        tensors += [t for a in args if isinstance(a, (list, tuple)) for t in a if isinstance(t, Tensor)]
        if not any(t.requires_grad for t in tensors) or name in FREE:
            return func(*args, **kwargs)
        in_place = (name.endswith("_") and not name.endswith("__")) or kwargs.get("inplace", False)
        plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        if name in ("__iadd__", "__isub__", "__imul__", "copy_", "__setitem__"):
            raise NotImplementedError(f"{name}: write the network without it")
        if plain in ("pow", "__pow__") and args[1] < 0:
            y = func(*args, **kwargs).detach()
        elif plain in NONLINEAR:
            y = self.nonlinear(func, plain, args, kwargs, in_place)
        elif plain in ("mul", "__mul__", "__rmul__"):
            y = self.product(args[0], args[1])
        elif plain in ("matmul", "__matmul__", "bmm"):
            y = self.times(args[0], args[1], torch.matmul)
        elif plain == "einsum":
            a, b = args[1:]
            y = self.times(a, b, lambda left, right: torch.einsum(args[0], left, right))
        elif plain in ("div", "__truediv__"):
            below = args[1].detach() if isinstance(args[1], Tensor) else args[1]
            y = args[0].detach() / below if getattr(args[0], "is_exp", False) else args[0] / below
            if len(tensors) == 1:
                self.pass_tags(args[0], y, scale=1 / below)
        elif plain in ("softmax", "rsqrt", "reciprocal"):
            y = func(*args, **kwargs).detach()
        elif plain == "scaled_dot_product_attention":
            q, k, v = args
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            if kwargs.get("is_causal"):
                scores = scores.masked_fill(torch.ones_like(scores, dtype=bool).triu(1), -torch.inf)
            if kwargs.get("attn_mask") is not None:
                scores = scores + kwargs["attn_mask"]
            y = scores.softmax(-1).detach() @ v
        elif plain == "normalize":
            y = args[0] / args[0].norm(dim=kwargs["dim"], keepdim=True).clamp_min(1e-12).detach()
        elif plain == "var":
            y = func(Half.apply(args[0]), *args[1:], **kwargs)
        elif plain == "bilinear":
            y = self.times(args[0], args[1], lambda a, b: func(a, b, *args[2:]))
        elif plain == "softsign":
            y = args[0] / (args[0].abs() + 1).detach()
        elif plain == "addcmul":
            y = args[0] + self.product(args[1], args[2])
        elif plain == "glu":
            signal, gate = args[0].chunk(2, kwargs.get("dim", args[-1]))
            y = signal * gate.sigmoid().detach()
        elif plain in ("layer_norm", "group_norm", "instance_norm", "rms_norm"):
            y = self.norm(func, plain, args, kwargs)
        elif plain in VIEWS:
            y = func(*args, **kwargs)
            self.pass_tags(args[0], y)
            y.made_of = []
        elif plain in LINEAR:
            y = func(*args, **kwargs)
            if plain == "batch_norm":
                self.pass_tags(args[0], y, scale=None)
                y.made_of = []
            if plain in SHIFTS and len(tensors) == 1:
                self.pass_tags(tensors[0], y, shifted=True)
        else:
            raise NotImplementedError(name)
        return y

    def nonlinear(self, func, plain, args, kwargs, in_place):
        z, rest = args[0], args[1:]
        if plain == "square" or (plain in ("pow", "__pow__") and rest[0] == 2):
            return Half.apply(z) * Half.apply(z)
        kwargs.pop("inplace", None)
        if "inplace" in (names := _names(func)):
            rest = [r for i, r in enumerate(rest) if names[i + 1] != "inplace"]

        def f(t):
            return func(t.clone(), *rest, **kwargs)

        y = Nonlinear.apply(z.clone() if in_place else z, f, self.epsilon)
        y.is_gate = plain in ("sigmoid", "hardsigmoid")
        y.made_of = [z, *getattr(z, "made_of", [])]
        y.is_exp = plain == "exp"
        y.s_shaped = plain in ("tanh", "erf")
        bounds = (*rest, kwargs.get("min_val"), kwargs.get("max_val"))[:2]
        low, high = {"relu6": (0, 6), "clamp": bounds, "hardtanh": bounds}.get(plain, (None, None))
        y.upto = high if low == 0 else None
        if in_place:
            z.copy_(y).__dict__.update(y.__dict__)
        return z if in_place else y

    def pass_tags(self, x, y, *, shifted=False, scale=1.0):
        """A reshaped or scaled gate is a gate; tanh and its like become one when a constant shifts them.

        So does what is clamped to [0, c] once it is divided by c.
        """
        single = isinstance(scale, (int, float))
        y.s_shaped = getattr(x, "s_shaped", False) and single
        upto = getattr(x, "upto", None)
        y.upto = upto * scale if upto and single else None
        y.is_gate = getattr(x, "is_gate", False) or (shifted and y.s_shaped)
        if y.shape == x.shape:
            y.made_of = [x, *getattr(x, "made_of", [])]

    def product(self, a, b):
        if not all(isinstance(t, Tensor) and t.requires_grad for t in (a, b)):
            y = a * b
            x, constant = (a, b) if isinstance(a, Tensor) and a.requires_grad else (b, a)
            self.pass_tags(x, y, scale=constant)
            return y
        for signal, gate in ((a, b), (b, a)):
            if any(part is signal for part in getattr(gate, "made_of", [])):  # z * h(z)
                h = gate.detach()
                return Nonlinear.apply(signal, lambda z: z * h, self.epsilon)  # noqa: B023 - called at once
        gates = tuple(t.is_gate or t.upto == 1 if hasattr(t, "is_gate") else False for t in (a, b))
        if gates == (True, False):
            return a.detach() * b
        if gates == (False, True):
            return a * b.detach()
        return Half.apply(a) * Half.apply(b)

    def times(self, a, b, multiply):
        if a.requires_grad and b.requires_grad:
            if getattr(a, "is_gate", False):
                a = a.detach()
            elif getattr(b, "is_gate", False):
                b = b.detach()
            else:
                a, b = Half.apply(a), Half.apply(b)
        return multiply(a, b)

    def norm(self, func, plain, args, kwargs):
        given = dict(zip(_names(func), args, strict=False)) | kwargs
        x, weight, bias = given["input"], given.get("weight"), given.get("bias")
        n, c = x.shape[:2]
        groups = {"group_norm": given.get("num_groups"), "instance_norm": c}.get(plain)
        rows = x.reshape(n, groups, -1) if groups else x
        eps = given.get("eps")
        if plain == "rms_norm":
            eps = torch.finfo(x.dtype).eps if eps is None else eps
            y = rows * rows.square().mean(-1, keepdim=True).add(eps).rsqrt().detach()
        else:
            centred = rows - rows.mean(-1, keepdim=True)
            y = centred * rows.var(-1, unbiased=False, keepdim=True).add(eps or 1e-5).rsqrt().detach()
        y = y.reshape(x.shape)
        if plain == "rms_norm":
            self.pass_tags(x, y, scale=None)
        gate = y.is_gate if plain == "rms_norm" else False
        shape = (1, -1, 1, 1) if groups else (-1,)
        y = y if weight is None else y * weight.reshape(shape)
        y = y if bias is None else y + bias.reshape(shape)
        y.is_gate, y.upto, y.s_shaped = gate, None, False
        return y


def _names(func):
    try:
        return list(inspect.signature(func).parameters)
    except (ValueError, TypeError):
        return []
