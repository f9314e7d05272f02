"""Losses, distances and attention against PyTorch's: values, gradients, gradients of gradients, modules, exceptions."""

import warnings

import numpy as np
import pytest

import trigrad as tg

F = tg.nn.functional


def signs(rng, *shape):
    return rng.choice([-1.0, 1.0], shape)


def share(rng, *shape):
    return rng.uniform(0.05, 0.95, shape)


def normal(rng, *shape):
    return rng.normal(size=shape)


# name -> (inputs, settings); floating inputs get a gradient
CASES = {
    "l1_loss": [
        (lambda r: (normal(r, 3, 4), normal(r, 3, 4)), {}),
        (lambda r: (normal(r, 3, 4), normal(r, 3, 4)), {"weight": "abs"}),
    ],
    "mse_loss": [(lambda r: (normal(r, 3, 4), normal(r, 3, 4)), {})],
    "smooth_l1_loss": [
        (lambda r: (2 * normal(r, 3, 4), normal(r, 3, 4)), {}),
        (lambda r: (2 * normal(r, 3, 4), normal(r, 3, 4)), {"beta": 0.5}),
        (lambda r: (2 * normal(r, 3, 4), normal(r, 3, 4)), {"beta": 0.0}),
    ],
    "huber_loss": [
        (lambda r: (2 * normal(r, 3, 4), normal(r, 3, 4)), {}),
        (lambda r: (2 * normal(r, 3, 4), normal(r, 3, 4)), {"delta": 0.5}),
        (lambda r: (2 * normal(r, 3, 4), normal(r, 3, 4)), {"delta": 2.0, "weight": "abs"}),
    ],
    "binary_cross_entropy": [
        (lambda r: (share(r, 3, 4), share(r, 3, 4)), {}),
        (lambda r: (share(r, 3, 4), share(r, 3, 4)), {"weight": "abs"}),
    ],
    "binary_cross_entropy_with_logits": [
        (lambda r: (normal(r, 3, 4), share(r, 3, 4)), {}),
        (lambda r: (normal(r, 3, 4), share(r, 3, 4)), {"weight": "abs", "pos_weight": "abs"}),
    ],
    "kl_div": [
        (lambda r: (normal(r, 3, 4), share(r, 3, 4)), {}),
        (lambda r: (normal(r, 3, 4), share(r, 4)), {}),
        (lambda r: (normal(r, 4), share(r, 3, 4)), {}),
        (lambda r: (normal(r, 3, 4), normal(r, 3, 4)), {"log_target": True}),
    ],
    "poisson_nll_loss": [
        (lambda r: (normal(r, 3, 4), 3 * share(r, 3, 4)), {}),
        (lambda r: (normal(r, 3, 4), 3 * share(r, 3, 4)), {"full": True}),
        (lambda r: (share(r, 3, 4), 3 * share(r, 3, 4)), {"log_input": False, "eps": 1e-3}),
    ],
    "gaussian_nll_loss": [
        (lambda r: (normal(r, 3, 4), normal(r, 3, 4), share(r, 3, 4)), {}),
        (lambda r: (normal(r, 3, 4), normal(r, 3, 4), share(r, 3, 1)), {"full": True}),
        (lambda r: (normal(r, 3, 4), normal(r, 3, 4), share(r, 3)), {"eps": 0.5}),
    ],
    "hinge_embedding_loss": [(lambda r: (normal(r, 3, 4), signs(r, 3, 4).astype(int)), {"margin": 0.7})],
    "margin_ranking_loss": [
        (lambda r: (normal(r, 7), normal(r, 7), signs(r, 7).astype(int)), {"margin": 0.3}),
        (lambda r: (normal(r, 2, 3), normal(r, 2, 3), signs(r, 2, 1).astype(int)), {}),
    ],
    "cosine_embedding_loss": [
        (lambda r: (normal(r, 7, 3), normal(r, 7, 3), signs(r, 7).astype(int)), {"margin": 0.2}),
        (lambda r: (normal(r, 3), normal(r, 3), signs(r).astype(int)), {}),
    ],
    "triplet_margin_loss": [
        (lambda r: (normal(r, 7, 3), normal(r, 7, 3), normal(r, 7, 3)), {}),
        (lambda r: (normal(r, 7, 3), normal(r, 7, 3), normal(r, 7, 3)), {"swap": True, "p": 1, "margin": 2.0}),
    ],
    "triplet_margin_with_distance_loss": [
        (lambda r: (normal(r, 7, 3), normal(r, 7, 3), normal(r, 7, 3)), {"swap": True})
    ],
    "soft_margin_loss": [(lambda r: (normal(r, 3, 4), signs(r, 3, 4).astype(int)), {})],
    "multi_margin_loss": [
        (lambda r: (normal(r, 5, 4), r.integers(0, 4, 5)), {}),
        (lambda r: (normal(r, 5, 4), r.integers(0, 4, 5)), {"p": 2, "margin": 0.5, "weight": "classes"}),
        (lambda r: (normal(r, 4), np.array(2)), {}),
    ],
    "multilabel_margin_loss": [
        (lambda r: (normal(r, 3, 4), np.array([[3, 0, -1, 1], [-1, 2, 2, 2], [0, 1, 2, 3]])), {}),
        (lambda r: (normal(r, 4), np.array([1, -1, 0, 2])), {}),
    ],
    "multilabel_soft_margin_loss": [
        (lambda r: (normal(r, 3, 4), r.integers(0, 2, (3, 4)).astype(float)), {}),
        (lambda r: (normal(r, 3, 4), r.integers(0, 2, (3, 4)).astype(float)), {"weight": "classes"}),
    ],
    "nll_loss": [
        (lambda r: (normal(r, 5, 4), r.integers(0, 4, 5)), {"weight": "classes", "ignore_index": 1}),
        (lambda r: (normal(r, 2, 4, 3, 2), r.integers(0, 4, (2, 3, 2))), {"weight": "classes"}),
        (lambda r: (normal(r, 4), np.array(1)), {}),
    ],
    "cross_entropy": [
        (lambda r: (normal(r, 5, 4), r.integers(0, 4, 5)), {}),
        (
            lambda r: (normal(r, 5, 4), r.integers(0, 4, 5)),
            {"weight": "classes", "ignore_index": 1, "label_smoothing": 0.2},
        ),
        (lambda r: (normal(r, 2, 4, 3, 2), r.integers(0, 4, (2, 3, 2))), {"weight": "classes", "label_smoothing": 0.1}),
        (lambda r: (normal(r, 2, 4, 3), r.integers(0, 4, (2, 3))), {"ignore_index": 2}),
        (lambda r: (normal(r, 4), np.array(1)), {"label_smoothing": 0.3}),
        (lambda r: (normal(r, 4), np.array(1)), {"weight": "classes"}),
        (lambda r: (normal(r, 5, 4), share(r, 5, 4)), {"weight": "classes", "label_smoothing": 0.1}),
        (lambda r: (normal(r, 2, 4, 3), share(r, 2, 4, 3)), {}),
        (lambda r: (normal(r, 4), share(r, 4)), {}),
    ],
}
LOSSES = [(n, i, *c) for n, cases in CASES.items() for i, c in enumerate(cases)]


def settled(rng, settings, first):
    """The settings with arrays for the weights they name."""
    out = dict(settings)
    for key, value in settings.items():
        if value == "abs":
            out[key] = share(rng, *first.shape)
        elif value == "classes":
            out[key] = share(rng, 4)
    return out


def run(library, f, inputs, settings, dtype, twice):
    """The value, the gradients of the floating inputs, and the gradients of the sum of their squares."""
    make = tg.tensor if library is tg else library.tensor
    kind = getattr(library, dtype)

    def tensor(x, wants):
        if x.dtype.kind == "f":
            return make(x, dtype=kind, requires_grad=wants)
        return make(x)

    args = [tensor(np.asarray(x), True) for x in inputs]
    given = {k: tensor(v, False) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = f(*args, **given)
    leaves = [a for a in args if a.requires_grad]
    grad = library.autograd.grad
    weights = make(np.linspace(0.5, 1.5, int(np.prod(out.shape))).reshape(tuple(out.shape)), dtype=kind)
    first = grad((out * weights).sum(), leaves, create_graph=twice, allow_unused=True)
    found = [out, *first]
    if twice:
        total = sum((g * g).sum() for g in first if g is not None and g.requires_grad)
        if not isinstance(total, int):
            found += grad(total, leaves, allow_unused=True)
    return found


def compare(f, theirs, inputs, settings, dtype="float64", twice=True, rtol=1e-6, atol=1e-8):
    torch = pytest.importorskip("torch")
    ours = run(tg, f, inputs, settings, dtype, twice)
    expected = run(torch, theirs, inputs, settings, dtype, twice)
    if dtype == "float32":
        rtol, atol = 1e-4, 1e-4
    for i in range(max(len(ours), len(expected))):  # an absent gradient is one of zeros
        a = ours[i] if i < len(ours) else None
        b = expected[i] if i < len(expected) else None
        if a is None and b is None:
            continue
        a = np.zeros(tuple(b.shape)) if a is None else a.numpy(force=True)
        b = np.zeros(a.shape) if b is None else b.numpy(force=True)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=f"result {i}")


@pytest.mark.peer
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name, number, inputs, settings", LOSSES, ids=[f"{n}-{i}" for n, i, _, _ in LOSSES])
def test_losses_equal_theirs(name, number, inputs, settings, reduction, rng):
    torch = pytest.importorskip("torch")
    arrays = inputs(rng)
    given = {**settled(rng, settings, arrays[0]), "reduction": reduction}
    twice = name not in ("multi_margin_loss", "multilabel_margin_loss")  # theirs are differentiable once
    for dtype in ("float64", "float32"):
        compare(getattr(F, name), getattr(torch.nn.functional, name), arrays, given, dtype, twice)


@pytest.mark.peer
def test_batchmean():
    torch = pytest.importorskip("torch")
    x, t = np.log(np.full((3, 4), 0.25)), np.full((3, 4), 0.25)
    t[:, 0] = 0.5
    compare(F.kl_div, torch.nn.functional.kl_div, (x, t), {"reduction": "batchmean"})
    compare(F.kl_div, torch.nn.functional.kl_div, (x, np.log(t)), {"reduction": "batchmean", "log_target": True})


MODULES = [
    ("L1Loss", {}),
    ("SmoothL1Loss", {"beta": 0.5, "reduction": "sum"}),
    ("HuberLoss", {"delta": 0.5}),
    ("KLDivLoss", {"log_target": True, "reduction": "batchmean"}),
    ("PoissonNLLLoss", {"full": True}),
    ("GaussianNLLLoss", {"full": True}),
    ("HingeEmbeddingLoss", {"margin": 0.5}),
    ("MarginRankingLoss", {"margin": 0.5}),
    ("CosineEmbeddingLoss", {"margin": 0.5}),
    ("TripletMarginLoss", {"p": 1.0, "swap": True}),
    ("TripletMarginWithDistanceLoss", {"margin": 2.0}),
    ("SoftMarginLoss", {"reduction": "none"}),
    ("MultiLabelMarginLoss", {}),
    ("MultiLabelSoftMarginLoss", {}),
    ("MultiMarginLoss", {"p": 2}),
    ("BCELoss", {}),
    ("PairwiseDistance", {"p": 1.0}),
    ("CosineSimilarity", {"dim": -1}),
]


@pytest.mark.peer
@pytest.mark.parametrize("name, options", MODULES, ids=[n for n, _ in MODULES])
def test_modules_are_made_alike_and_run(name, options, rng):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(tg.nn, name)(**options), getattr(torch.nn, name)(**options)
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    function = "".join("_" + c.lower() if c.isupper() else c for c in name).strip("_")
    function = {
        "l1_loss": "l1_loss",
        "smooth_l1_loss": "smooth_l1_loss",
        "k_l_div_loss": "kl_div",
        "b_c_e_loss": "binary_cross_entropy",
        "poisson_n_l_l_loss": "poisson_nll_loss",
        "gaussian_n_l_l_loss": "gaussian_nll_loss",
        "multi_label_margin_loss": "multilabel_margin_loss",
        "multi_label_soft_margin_loss": "multilabel_soft_margin_loss",
    }.get(function, function)
    inputs = (normal(rng, 3, 4), normal(rng, 3, 4)) if function not in CASES else CASES[function][0][0](rng)
    compare(ours, theirs, inputs, {}, twice=False)


DISTANCES = [
    ("cosine_similarity", lambda r: (normal(r, 3, 4), normal(r, 3, 4)), {}),
    ("cosine_similarity", lambda r: (normal(r, 3, 1, 4), normal(r, 5, 4)), {"dim": -1}),
    ("cosine_similarity", lambda r: (normal(r, 3, 4) * 1e-3, normal(r, 3, 4)), {"eps": 1.0}),
    ("pairwise_distance", lambda r: (normal(r, 3, 4), normal(r, 3, 4)), {}),
    ("pairwise_distance", lambda r: (normal(r, 3, 4), normal(r, 1, 4)), {"p": 1.0, "keepdim": True}),
    ("pairwise_distance", lambda r: (normal(r, 4), normal(r, 4)), {"p": float("inf")}),
    ("pairwise_distance", lambda r: (normal(r, 3, 4), normal(r, 4)), {"p": 3.0, "eps": 0.0}),
    ("pairwise_distance", lambda r: (normal(r, 3, 4), normal(r, 3, 4)), {"p": 0.5}),
    ("pdist", lambda r: (normal(r, 5, 3),), {}),
    ("pdist", lambda r: (normal(r, 5, 3),), {"p": 1.0}),
    ("normalize", lambda r: (normal(r, 3, 4),), {}),
    ("normalize", lambda r: (normal(r, 3, 4, 2),), {"p": 1.0, "dim": (0, 2)}),
    ("normalize", lambda r: (np.zeros((2, 3)),), {"dim": 0}),
    ("bilinear", lambda r: (normal(r, 2, 5, 3), normal(r, 2, 5, 4), normal(r, 6, 3, 4), normal(r, 6)), {}),
]


@pytest.mark.peer
@pytest.mark.parametrize("name, inputs, settings", DISTANCES, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(DISTANCES)])
def test_distances_equal_theirs(name, inputs, settings, rng):
    torch = pytest.importorskip("torch")
    for dtype in ("float64", "float32"):
        arrays = inputs(rng)
        twice = name != "pdist" and bool(np.any(arrays[0]))  # theirs is nan at the norm 0
        compare(getattr(F, name), getattr(torch.nn.functional, name), arrays, settings, dtype, twice)


@pytest.mark.peer
@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, 2.0, 3.0, float("inf")])
def test_cdist_equals_theirs(p, rng):
    torch = pytest.importorskip("torch")
    for a, b in [((4, 3), (5, 3)), ((2, 4, 3), (5, 3)), ((30, 3), (4, 3)), ((0, 3), (2, 3)), ((2, 0), (3, 0))]:
        compare(tg.cdist, torch.cdist, (normal(rng, *a), normal(rng, *b)), {"p": p}, twice=False, atol=1e-6)
    same = normal(rng, 3, 2)
    compare(tg.cdist, torch.cdist, (same, same), {"p": p}, twice=False)  # the distance 0 has the gradient 0
    if p == 2:
        for mode in ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"):
            far = (normal(rng, 4, 3), normal(rng, 2, 3))
            compare(tg.cdist, torch.cdist, far, {"compute_mode": mode}, twice=False)


ATTENTION = [
    ({}, (2, 3, 5, 4), (2, 3, 6, 4), 7),
    ({"is_causal": True}, (2, 5, 4), (2, 5, 4), 4),
    ({"is_causal": True}, (2, 5, 4), (2, 3, 4), 4),
    ({"scale": 0.3}, (5, 4), (6, 4), 2),
    ({"attn_mask": "bool"}, (2, 3, 5, 4), (2, 3, 6, 4), 4),
    ({"attn_mask": "float"}, (2, 3, 5, 4), (2, 3, 6, 4), 4),
    ({"attn_mask": "hidden"}, (2, 3, 5, 4), (2, 3, 6, 4), 4),
    ({"enable_gqa": True}, (2, 6, 5, 4), (2, 3, 6, 4), 4),
]


@pytest.mark.peer
@pytest.mark.parametrize("options, query, key, width", ATTENTION)
def test_attention_equals_theirs(options, query, key, width, rng):
    torch = pytest.importorskip("torch")
    arrays = (normal(rng, *query), normal(rng, *key), normal(rng, *key[:-1], width))
    given = dict(options)
    if "attn_mask" in options:
        mask = rng.random((query[-2], key[-2])) < 0.6
        mask[:, 0] = True
        if options["attn_mask"] == "hidden":
            mask[2] = False
        given["attn_mask"] = normal(rng, query[-2], key[-2]) if options["attn_mask"] == "float" else mask
    f = torch.nn.functional.scaled_dot_product_attention
    for dtype in ("float64", "float32"):
        compare(F.scaled_dot_product_attention, f, arrays, given, dtype, twice=dtype == "float64" and not options)


def test_attention_drops_weights_and_runs_on_a_device(rng):
    q, k, v = (tg.tensor(normal(rng, 2, 4, 3).astype(np.float32)) for _ in range(3))
    assert F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).abs().sum().item() == 0
    mask = tg.tensor(np.tril(np.ones((4, 4), bool)))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True).numpy()
    moved = F.scaled_dot_product_attention(*(t.to("interpreter") for t in (q, k, v, mask)))
    np.testing.assert_allclose(moved.cpu().numpy(), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError, match="expected attn_mask or is_causal, got both"):
        F.scaled_dot_product_attention(q, k, v, mask, is_causal=True)
    with pytest.raises(RuntimeError, match=r"expected query \(..., L, E\)"):
        F.scaled_dot_product_attention(q, k[..., :2], v)
    with tg.autocast("cpu"):
        assert F.scaled_dot_product_attention(q, k, v).dtype is tg.bfloat16


def test_losses_are_in_float32_inside_autocast(rng):
    x, t = (tg.tensor(share(rng, 5, 4), dtype=tg.bfloat16) for _ in range(2))
    pairs = (
        F.l1_loss,
        F.kl_div,
        F.hinge_embedding_loss,
        F.poisson_nll_loss,
        F.soft_margin_loss,
        F.binary_cross_entropy,
    )
    with tg.autocast("cpu"):
        for f in pairs:
            assert f(x, t).dtype is tg.float32
        assert F.cosine_similarity(x, t).dtype is tg.float32 and tg.cdist(x, t).dtype is tg.float32
    assert F.l1_loss(x, t).dtype is tg.bfloat16


@pytest.mark.parametrize(
    "name", ["margin_ranking_loss", "triplet_margin_loss", "multi_margin_loss", "multilabel_margin_loss", "l1_loss"]
)
def test_devices_agree(name, rng):
    inputs, settings = CASES[name][0]
    arrays = inputs(rng)
    results = []
    for device in ("cpu", "interpreter"):
        args = [tg.tensor(x, device=device, requires_grad=x.dtype.kind == "f") for x in map(np.asarray, arrays)]
        out = getattr(F, name)(*args, **settings)
        out.backward()
        results.append([out.item(), *(a.grad.numpy(force=True) for a in args if a.requires_grad)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


WRONG = [
    (lambda: F.triplet_margin_loss(*[tg.zeros(2, 3)] * 3, margin=0.0), ValueError, "expected margin > 0, got 0.0"),
    (lambda: F.multi_margin_loss(tg.zeros(2, 3), tg.tensor([0, 1]), p=3), ValueError, "expected p 1 or 2, got 3"),
    (lambda: F.multi_margin_loss(tg.zeros(2, 3), tg.tensor([0, 3])), IndexError, "target 3 is out of range"),
    (lambda: F.multilabel_margin_loss(tg.zeros(3), tg.tensor([0, 3, 1])), IndexError, "expected targets from -1 to 2"),
    (lambda: F.multilabel_margin_loss(tg.zeros(3), tg.zeros(3)), RuntimeError, "expected a target of int64 classes"),
    (lambda: F.gaussian_nll_loss(tg.zeros(3), tg.zeros(3), -1.0), ValueError, "variances of at least 0"),
    (
        lambda: F.gaussian_nll_loss(tg.zeros(2, 3), tg.zeros(2, 3), tg.ones(3)),
        ValueError,
        "expected var of the input's",
    ),
    (lambda: F.margin_ranking_loss(tg.zeros(2), tg.zeros(2), tg.zeros(2, 2)), RuntimeError, "equally many dimensions"),
    (lambda: F.cosine_embedding_loss(tg.zeros(2), tg.zeros(2), tg.zeros(2)), RuntimeError, r"expected inputs \(N, D\)"),
    (lambda: F.hinge_embedding_loss(tg.zeros(2), tg.zeros(3)), RuntimeError, "do not broadcast"),
    (lambda: F.soft_margin_loss(tg.zeros(2), tg.zeros(2), "all"), ValueError, "expected reduction to be one of"),
    (lambda: F.cosine_similarity(tg.zeros(2), tg.zeros(2)), IndexError, "dimension 1 is out of range"),
    (
        lambda: F.l1_loss(tg.zeros(2), tg.zeros(2), weight=tg.ones(1)),
        ValueError,
        "expected weight of the input's shape",
    ),
    (lambda: tg.cdist(tg.zeros(2, 3), tg.zeros(2, 4)), RuntimeError, r"expected x1 \(..., P, M\)"),
    (lambda: tg.cdist(tg.zeros(2, 3), tg.zeros(2, 3), p=-1), RuntimeError, "expected p >= 0, got -1"),
    (lambda: tg.pdist(tg.zeros(2)), RuntimeError, r"expected input \(N, M\)"),
    (lambda: F.bilinear(tg.zeros(1, 2), tg.zeros(1, 2), tg.zeros(1, 2, 3)), RuntimeError, "expected input1"),
]


@pytest.mark.parametrize("call, error, message", WRONG)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.peer
def test_bilinear_layer(rng):
    torch = pytest.importorskip("torch")
    tg.manual_seed(0)
    ours, theirs = tg.nn.Bilinear(3, 4, 5), torch.nn.Bilinear(3, 4, 5)
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()})
    x, y = (rng.normal(size=(2, n)).astype(np.float32) for n in (3, 4))
    expected = theirs(torch.tensor(x), torch.tensor(y)).detach().numpy()
    np.testing.assert_allclose(ours(tg.tensor(x), tg.tensor(y)).numpy(force=True), expected, rtol=1e-4, atol=1e-5)
    assert 0.5 < np.abs(ours.weight.numpy(force=True)).max() < 1 / np.sqrt(3)


CTC = [
    ([8, 6, 8], [3, 1, 4], {}),
    ([8, 6, 8], [3, 1, 4], {"blank": 4, "joined": True}),
    ([8, 6, 5], [3, 0, 2], {"alike": True}),
    ([8, 6, 3], [3, 1, 4], {"zero_infinity": True, "alike": True}),
]


@pytest.mark.peer
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("given, wanted, options", CTC)
def test_ctc_equals_theirs(given, wanted, options, reduction, rng):
    torch = pytest.importorskip("torch")
    options = dict(options)
    blank = options.get("blank", 0)
    classes = rng.integers(0, 4, (3, 4))
    classes[classes >= blank] += 1
    if options.pop("alike", False):
        classes[:] = classes[:, :1]  # the same class again needs a blank between
    if options.pop("joined", False):
        classes = np.concatenate([row[:n] for row, n in zip(classes, wanted, strict=True)])
    x = rng.normal(size=(8, 3, 5))
    a, b = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    options["reduction"] = reduction
    ours = tg.nn.CTCLoss(**options)(a.log_softmax(2), tg.tensor(classes), tg.tensor(given), tuple(wanted))
    theirs = torch.nn.CTCLoss(**options)(
        b.log_softmax(2), torch.tensor(classes), torch.tensor(given), torch.tensor(wanted)
    )
    np.testing.assert_allclose(ours.numpy(force=True), theirs.detach().numpy(), rtol=1e-9)
    ours.sum().backward()
    theirs.sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-7, atol=1e-10)


def test_ctc_of_one_sequence_and_of_none(rng):
    x = tg.tensor(rng.normal(size=(4, 3)), requires_grad=True)
    one = F.ctc_loss(x.log_softmax(1), tg.tensor([1, 2]), tg.tensor(4), tg.tensor(2))
    many = F.ctc_loss(x.log_softmax(1).unsqueeze(1), tg.tensor([[1, 2]]), (4,), (2,))
    assert one.shape == () and one.item() == pytest.approx(many.item())
    assert tg.autograd.gradgradcheck(lambda y: F.ctc_loss(y.log_softmax(1), tg.tensor([1, 2]), (4,), (2,)), (x,))
    never = F.ctc_loss(x.log_softmax(1), tg.tensor([1, 1, 1]), (4,), (3,))  # two blanks must stand between
    assert never.item() == float("inf")
    for call, message in [
        (lambda: F.ctc_loss(x, tg.tensor([1, 2]), (5,), (2,)), "expected input_lengths of at most T = 4, got 5"),
        (lambda: F.ctc_loss(x, tg.tensor([1, 2]), (4,), (3,)), "expected targets"),
        (lambda: F.ctc_loss(x, tg.tensor([1, 2]), (4,), (2,), blank=3), "expected blank from 0 to 2, got 3"),
        (lambda: F.ctc_loss(x, tg.tensor([1, 2]), (4, 4), (2,)), "expected input_lengths of 1 numbers"),
        (lambda: F.ctc_loss(x, tg.tensor([1.0, 2.0]), (4,), (2,)), "expected targets of integers, got float32"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            call()
