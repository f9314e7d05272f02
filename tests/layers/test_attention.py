"""MultiheadAttention and the transformer's layers against PyTorch's: state dicts, outputs, weights, gradients, masks."""

import re

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn

L, S, N, E = 5, 6, 3, 8


def pair(name, *args, **options):
    """The two libraries' modules in float64 with the same parameters."""
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    return same(ours, theirs)


def same(ours, theirs):
    torch = pytest.importorskip("torch")
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})
    ours, theirs = ours.double(), theirs.double()
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.1 * torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(p.numel())))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def compare(ours, theirs, arrays, options):
    """Results and all gradients; one array given several times is one tensor."""
    torch = pytest.importorskip("torch")

    def made(make):
        tensors = {id(x): make(x, requires_grad=True) for x in arrays}
        given = {k: make(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        return [tensors[id(x)] for x in arrays], given

    (a, given), (b, their_given) = made(tg.tensor), made(torch.tensor)
    out, expected = ours(*a, **given), theirs(*b, **their_given)
    out, expected = ([x] if not isinstance(x, tuple) else [y for y in x if y is not None] for x in (out, expected))
    assert len(out) == len(expected)
    for x, y in zip(out, expected, strict=True):
        assert x.shape == tuple(y.shape)
        np.testing.assert_allclose(x.numpy(force=True), y.detach().numpy(), rtol=1e-8, atol=1e-10)
    sum((i + 1) * (x * x).sum() for i, x in enumerate(out)).backward()
    sum((i + 1) * (y * y).sum() for i, y in enumerate(expected)).backward()
    for x, y in zip([*a, *ours.parameters()], [*b, *theirs.parameters()], strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-6, atol=1e-9)


OPTIONS = [
    {},
    {"bias": False},
    {"kdim": 4, "vdim": 7},
    {"kdim": 4, "vdim": 7, "bias": False, "batch_first": True},
    {"add_bias_kv": True},
    {"add_zero_attn": True, "batch_first": True},
    {"add_zero_attn": True, "add_bias_kv": True, "kdim": 4},
]


@pytest.mark.peer
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_attention_equals_theirs(options, rng):
    swap = (lambda x: x.swapaxes(0, 1).copy()) if options.get("batch_first") else (lambda x: x)
    widths = (E, options.get("kdim", E), options.get("vdim", E))
    arrays = [swap(rng.normal(size=(n, N, w))) for n, w in zip((L, S, S), widths, strict=True)]
    padding = rng.random((N, S)) < 0.3
    padding[:, 0] = False
    masks = [
        {},
        {"key_padding_mask": padding},
        {"attn_mask": np.triu(np.ones((L, S), bool), 1)},
        {"attn_mask": rng.normal(size=(N * 2, L, S)), "key_padding_mask": np.where(padding, -np.inf, 0.0)},
    ]
    for mask in masks:
        compare(*pair("MultiheadAttention", E, 2, **options), arrays, mask)
        compare(*pair("MultiheadAttention", E, 2, **options), arrays, {**mask, "need_weights": False})
    compare(*pair("MultiheadAttention", E, 2, **options), arrays, {"average_attn_weights": False})


@pytest.mark.peer
def test_self_attention_and_unbatched(rng):
    x = rng.normal(size=(L, N, E))
    compare(*pair("MultiheadAttention", E, 4), [x, x, x], {})
    one, other = rng.normal(size=(L, E)), rng.normal(size=(S, E))
    compare(*pair("MultiheadAttention", E, 4), [one, other, other], {"key_padding_mask": np.arange(S) > 3})
    compare(*pair("MultiheadAttention", E, 4), [one, other, other], {"average_attn_weights": False})
    causal = np.triu(np.full((L, L), -np.inf), 1)
    compare(*pair("MultiheadAttention", E, 4), [one, one, one], {"attn_mask": causal, "is_causal": True})


SHAPES = [
    {},
    {"batch_first": True, "norm_first": True},
    {"activation": "gelu", "bias": False},
    {"norm_first": True, "layer_norm_eps": 1e-3},
]


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("options", SHAPES, ids=str)
def test_transformer_layers_equal_theirs(options, rng):
    made = {"dropout": 0.0, **options}
    x, memory = rng.normal(size=(N, L, E)), rng.normal(size=(N, S, E))
    if not options.get("batch_first"):
        x, memory = x.swapaxes(0, 1).copy(), memory.swapaxes(0, 1).copy()
    causal = np.triu(np.full((L, L), -np.inf), 1)
    padding = np.zeros((N, L), bool)
    padding[1, 3:] = True
    compare(*pair("TransformerEncoderLayer", E, 2, 16, **made), [x], {})
    masks = {"src_mask": causal, "src_key_padding_mask": np.where(padding, -np.inf, 0.0)}
    compare(*pair("TransformerEncoderLayer", E, 2, 16, **made), [x], masks)
    compare(*pair("TransformerDecoderLayer", E, 2, 16, **made), [x, memory], {"tgt_mask": causal})
    compare(*pair("Transformer", E, 2, 2, 1, 16, **made), [memory, x], {"tgt_mask": causal})


@pytest.mark.peer
def test_stacks_equal_theirs(rng):
    torch = pytest.importorskip("torch")

    def build(library):
        made = {"dropout": 0.0, "batch_first": True}
        layer = library.nn.TransformerEncoderLayer(E, 2, 16, **made)
        more = {"enable_nested_tensor": False} if library is torch else {}
        encoder = library.nn.TransformerEncoder(layer, 2, library.nn.LayerNorm(E), **more)
        return encoder, library.nn.TransformerDecoder(library.nn.TransformerDecoderLayer(E, 2, 16, **made), 2)

    (encoder, decoder), (theirs, their_decoder) = build(tg), build(torch)
    x, memory = rng.normal(size=(N, L, E)), rng.normal(size=(N, S, E))
    compare(*same(encoder, theirs), [x], {"mask": np.triu(np.ones((L, L), bool), 1)})
    compare(*same(decoder, their_decoder), [x, memory], {})
    assert encoder.layers[0] is not encoder.layers[1]


@pytest.mark.peer
def test_first_values_have_one_distribution():
    torch = pytest.importorskip("torch")
    tg.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = nn.MultiheadAttention(64, 4, add_bias_kv=True), torch.nn.MultiheadAttention(64, 4, add_bias_kv=True)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert p.std().item() == pytest.approx(q.std().item(), rel=0.4, abs=1e-12), name


def test_it_trains_with_dropout_on_a_device():
    tg.manual_seed(0)
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).to("interpreter")
    x = tg.randn(2, 3, 8, device="interpreter")
    assert not np.allclose(net(x).cpu().numpy(force=True), net(x).cpu().numpy(force=True))
    net.eval()
    out = net(x)
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    np.testing.assert_allclose(net.cpu()(x.cpu()).numpy(force=True), out.cpu().numpy(force=True), rtol=1e-4, atol=1e-5)


def test_autocast():
    net = nn.MultiheadAttention(8, 2)
    x = tg.randn(3, 1, 8)
    with tg.autocast("cpu"):
        out, weights = net(x, x, x)
    assert out.dtype is tg.bfloat16 and weights.dtype is tg.float32


x2 = tg.zeros(3, 8)
WRONG = [
    (lambda: nn.MultiheadAttention(8, 3), AssertionError, "embed_dim 8 is not divisible by num_heads 3"),
    (lambda: nn.MultiheadAttention(0, 3), ValueError, "expected embed_dim and num_heads > 0, got 0 and 3"),
    (
        lambda: nn.MultiheadAttention(8, 2)(x2, x2, tg.zeros(3, 7)),
        AssertionError,
        "expected query, key and value of widths",
    ),
    (lambda: nn.MultiheadAttention(8, 2)(x2, x2, x2, is_causal=True), RuntimeError, "which must be given"),
    (
        lambda: nn.MultiheadAttention(8, 2)(x2, x2, x2, attn_mask=tg.zeros(3, 2)),
        RuntimeError,
        re.escape("expected attn_mask (3, 3) or (2, 3, 3), got (3, 2)"),
    ),
    (
        lambda: nn.MultiheadAttention(8, 2)(x2, x2, x2, key_padding_mask=tg.zeros(2)),
        AssertionError,
        re.escape("expected key_padding_mask (3,), got (2,)"),
    ),
    (
        lambda: nn.MultiheadAttention(8, 2)(x2, x2, x2, attn_mask=tg.zeros(3, 3, dtype=tg.int64)),
        RuntimeError,
        "expected a mask of bool or floating, got int64",
    ),
    (
        lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"),
        RuntimeError,
        "expected a function, 'relu' or 'gelu'",
    ),
    (lambda: nn.Transformer(8, 2, 1, 1, 8)(tg.zeros(3, 1, 8), tg.zeros(3, 2, 8)), RuntimeError, "of one batch size"),
]


@pytest.mark.parametrize("call, error, message", WRONG)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
