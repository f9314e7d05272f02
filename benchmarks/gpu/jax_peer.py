"""The same training steps in JAX, from the same descriptions and first weights; needs jax, which is not a dependency.

Images are channels-last; ``bf16`` casts weights and images to bfloat16 for the networks, as autocast does, and keeps
float32 weights.  The whole step is one jitted function that gives its buffers to the next.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import nets

from .cases import parameter_shapes
from .steps import BATCHES, Contender

CONV = ("NHWC", "OIHW", "NHWC")


def _norm(x: Any, weight: Any, bias: Any) -> Any:
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(jnp.float32)
    mean, var = wide.mean(axes), wide.var(axes)
    return ((wide - mean) * (lax.rsqrt(var + 1e-5) * weight) + bias).astype(x.dtype)


def forward(layers: nets.Layers, params: Any, x: Any) -> Any:
    """Run described layers; ``params`` is an iterator over their parameters in order."""
    for layer in layers:
        match layer:
            case ("linear", *_):
                w, b = next(params), next(params)
                x = x @ w.astype(x.dtype).T + b.astype(x.dtype)
            case ("conv", _, _, kernel, stride, padding, bias):
                x = lax.conv_general_dilated(
                    x, next(params).astype(x.dtype), (stride, stride), [(padding, padding)] * 2, dimension_numbers=CONV
                )
                x = x + next(params).astype(x.dtype) if bias else x
            case ("conv_transpose", _, _, kernel, stride, padding, bias):
                # the gradient of a convolution: the image spread out, the kernel turned round, its channels swapped
                w = jnp.flip(next(params).astype(x.dtype), (2, 3)).swapaxes(0, 1)
                edge = kernel - 1 - padding
                x = lax.conv_general_dilated(
                    x, w, (1, 1), [(edge, edge)] * 2, lhs_dilation=(stride, stride), dimension_numbers=CONV
                )
                x = x + next(params).astype(x.dtype) if bias else x
            case ("norm", _):
                x = _norm(x, next(params), next(params))
            case ("relu",):
                x = jax.nn.relu(x)
            case ("leaky_relu", slope):
                x = jax.nn.leaky_relu(x, slope)
            case ("tanh",):
                x = jnp.tanh(x)
            case ("max_pool", k):
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, k, k, 1), (1, k, k, 1), "VALID")
            case ("global_pool",):
                x = x.mean((1, 2), keepdims=True)
            case ("flatten",):
                x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1) if x.ndim == 4 else x
            case ("unflatten", shape):
                x = x.reshape(-1, *shape).transpose(0, 2, 3, 1)
            case ("residual", body, shortcut, last):
                inner = forward(body, params, x)
                x = forward(last, params, inner + forward(shortcut, params, x))
            case _:
                raise ValueError(f"jax: no layer is called {layer[0]!r}")
    return x


def _run(layers: nets.Layers, params: list[Any], x: Any, half: bool) -> Any:
    x = x.astype(jnp.bfloat16) if half else x
    return forward(layers, iter(params), x).astype(jnp.float32)


def _loss(kind: str, said: Any, target: Any) -> Any:
    if kind == "squares":
        return 0.5 * jnp.mean((said - target) ** 2)
    if kind == "logits":
        return jnp.mean(jnp.maximum(said, 0) - said * target + jnp.log1p(jnp.exp(-jnp.abs(said))))
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(said), target[:, None], 1))


def _adam(params: list[Any], grads: list[Any], state: Any) -> tuple[list[Any], Any]:
    step, first, second = state
    step = step + 1
    first = [0.5 * m + 0.5 * g for m, g in zip(first, grads, strict=True)]
    second = [0.999 * v + 0.001 * g * g for v, g in zip(second, grads, strict=True)]
    c1, c2 = 1 - 0.5**step, 1 - 0.999**step
    new = [p - 2e-4 * (m / c1) / (jnp.sqrt(v / c2) + 1e-8) for p, m, v in zip(params, first, second, strict=True)]
    return new, (step, first, second)


def _sgd(params: list[Any], grads: list[Any], moments: list[Any]) -> tuple[list[Any], list[Any]]:
    moments = [0.9 * m + g + 5e-4 * p for m, g, p in zip(moments, grads, params, strict=True)]
    return [p - 0.05 * m for p, m in zip(params, moments, strict=True)], moments


def _parameters(recipe: nets.Recipe) -> dict[str, list[Any]]:
    found = {}
    for i, (name, layers) in enumerate(recipe.layers.items()):
        shapes = parameter_shapes(layers)
        # first_weights tells the weights of norms from biases by name
        named = [(f"{j} weight" if _is_weight(layers, j) else f"{j}", s) for j, s in enumerate(shapes)]
        found[name] = [jnp.asarray(a) for a in nets.first_weights(named, recipe, i).values()]
    return found


def _is_weight(layers: nets.Layers, index: int) -> bool:
    kinds: list[bool] = []

    def walk(part: nets.Layers) -> None:
        for layer in part:
            if layer[0] == "residual":
                for inner in layer[1:]:
                    walk(inner)
            elif layer[0] in ("linear", "conv", "conv_transpose", "norm"):
                kinds.append(True)
                kinds.extend([False] * (len(parameter_shapes([layer])) - 1))

    walk(layers)
    return kinds[index]


def contender(name: str, precision: str, tiny: bool) -> Contender:
    """The jitted training step of a network."""
    width, size = nets.SMALL[name] if tiny else (64, nets.RECIPES[name]().image[1])
    recipe = nets.RECIPES[name](width=width, size=size)
    batch = 2 if tiny else recipe.batch
    half = precision == "bf16"
    jax.config.update("jax_default_matmul_precision", "float32" if precision == "ieee" else "tensorfloat32")
    params = _parameters(recipe)
    layers = recipe.layers
    rng = np.random.default_rng(0)
    images = [
        jnp.asarray(np.tanh(rng.standard_normal((batch, *recipe.image))).transpose(0, 2, 3, 1).astype(np.float32))
        for _ in range(BATCHES)
    ]
    if recipe.loss == "classes":
        classes = [jnp.asarray(rng.integers(0, recipe.classes, batch)) for _ in range(BATCHES)]

        def loss(p: list[Any], x: Any, y: Any) -> Any:
            return _loss("classes", _run(layers["net"], p, x, half), y)

        def train(state: Any, x: Any, y: Any) -> tuple[Any, Any]:
            p, moments = state
            value, grads = jax.value_and_grad(loss)(p, x, y)
            return _sgd(p, grads, moments), (value,)

        state: Any = (params["net"], [jnp.zeros_like(p) for p in params["net"]])
        batches: list[tuple[Any, ...]] = list(zip(images, classes, strict=True))
    else:

        def critic(p: list[Any], x: Any) -> Any:
            return _run(layers["D"], p, x, half)

        def train_gan(state: Any, x: Any) -> tuple[Any, Any]:
            key, G, D, g_state, d_state = state
            key, use = jax.random.split(key)
            z = jax.random.normal(use, (batch, *recipe.z))
            z = z.transpose(0, 2, 3, 1) if z.ndim == 4 else z

            def fakes(p: list[Any]) -> Any:
                return _run(layers["G"], p, z, half)

            fake, back = jax.vjp(fakes, G)
            d_value, d_grads = jax.value_and_grad(
                lambda p: _loss(recipe.loss, critic(p, x), 1.0) + _loss(recipe.loss, critic(p, fake), 0.0)
            )(D)
            D, d_state = _adam(D, d_grads, d_state)
            g_value, at_fake = jax.value_and_grad(lambda f: _loss(recipe.loss, critic(D, f), 1.0))(fake)
            (g_grads,) = back(at_fake)
            G, g_state = _adam(G, g_grads, g_state)
            return (key, G, D, g_state, d_state), (d_value, g_value)

        def moments_of(p: list[Any]) -> Any:
            return (jnp.zeros(()), [jnp.zeros_like(x) for x in p], [jnp.zeros_like(x) for x in p])

        state = (jax.random.key(0), params["G"], params["D"], moments_of(params["G"]), moments_of(params["D"]))
        batches = [(x,) for x in images]
        train = train_gan
    jitted = jax.jit(train, donate_argnums=0)
    held = {"state": state}

    def step(i: int) -> Any:
        held["state"], losses = jitted(held["state"], *batches[i % BATCHES])
        return losses

    return Contender("jax", step, lambda: jax.block_until_ready(held["state"]))
