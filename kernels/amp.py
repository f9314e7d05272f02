"""What a gradient scaler does on the device: undo the scale and look for overflow, then choose the next scale.

    amp_unscale      : grad = grad * (1 / scale);  found_inf = 1 where any grad is infinite or nan
    amp_update_scale : scale = scale * backoff_factor, growth_tracker = 0           where found_inf is not 0
                       growth_tracker = growth_tracker + 1                          elsewhere; and when that makes
                       scale = scale * growth_factor, growth_tracker = 0            growth_interval steps in a row

A scale does not grow beyond the finite.  Nothing here is read back: the host need not wait.

Source: Micikevicius et al. (2018), "Mixed precision training", section 3.2.
"""

import numpy as np

from ..framework.group import inverse, pieces, reciprocal, step_group
from ..framework.language import jit, tl
from ..framework.launch import launch
from ..framework.op import Kernel, Op, Sample, register


def unscale_numpy(grads, found_inf, scale):
    for (grad,) in pieces((grads,), 1):
        if not np.isfinite(grad).all():
            found_inf[...] = 1
        grad *= reciprocal(scale, grad)
    return ()


@jit
def _unscale(grad, scale):
    return grad * inverse(scale), ~(tl.abs(grad) < float("inf"))


def unscale_triton(grads, found_inf, scale):
    step_group(_unscale, (grads,), scale, writes=1, alarm=found_inf)
    return ()


def unscale_samples(rng):
    zero, two = np.array(0.0), np.array(2.0)
    fine = np.array([2.0, -4.0]), np.array([[6.0]])
    yield Sample("worked", (fine, zero, two), answers=([1.0, -2.0], [[3.0]], 0.0))
    yield Sample("worked, found before", (fine, np.array(1.0), two), answers=([1.0, -2.0], [[3.0]], 1.0))
    for bad in (np.inf, -np.inf, np.nan):
        yield Sample(
            f"worked, {bad}",
            ((fine[0], np.array([bad, 2.0])), zero, two),
            answers=([1.0, -2.0], [bad, 1.0], 1.0),
        )
    shapes = [(3, 4), (0,), (), (1500,)]
    many = tuple(np.asarray(rng.normal(size=s)) for s in shapes)
    yield Sample("group", (many, zero, np.array(8.0)))
    many = tuple(np.asarray(rng.normal(size=s)) for s in shapes)
    many[-1][1499] = np.inf
    yield Sample("group, the last is infinite", (many, zero, np.array(8.0)))


AMP_UNSCALE = register(
    Op(
        name="amp_unscale",
        kernel=Kernel(numpy=unscale_numpy, triton=unscale_triton),
        samples=unscale_samples,
        outputs=(),
        differentiable=0,
        zero=("grads", "found_inf", "scale"),  # there is no output to differentiate
        writes=("grads", "found_inf"),
    )
)


def update_numpy(scale, growth_tracker, found_inf, *, growth_factor, backoff_factor, growth_interval):
    if found_inf != 0:
        scale[...] = float(scale) * backoff_factor
        growth_tracker[...] = 0
        return ()
    growth_tracker += 1
    if growth_tracker == growth_interval:
        grown = scale.dtype.type(float(scale) * growth_factor)
        if np.isfinite(grown):
            scale[...] = grown
        growth_tracker[...] = 0
    return ()


@jit
def _update(scale_ptr, tracker_ptr, found_ptr, growth, backoff, interval):
    # scale, tracker, found: one element each · one program
    scale = tl.load(scale_ptr)
    found = tl.load(found_ptr) != 0
    tracker = tl.where(found, 0, tl.load(tracker_ptr) + 1)
    due = tracker == interval
    grown = (scale.to(tl.float64) * growth).to(scale.dtype)
    fits = due & (tl.abs(grown.to(tl.float64)) < float("inf"))
    lowered = (scale.to(tl.float64) * backoff).to(scale.dtype)
    tl.store(scale_ptr, tl.where(found, lowered, tl.where(fits, grown, scale)))
    tl.store(tracker_ptr, tl.where(due, 0, tracker).to(tracker_ptr.dtype.element_ty))


def update_triton(scale, growth_tracker, found_inf, *, growth_factor, backoff_factor, growth_interval):
    # one program
    launch(
        _update,
        (1,),
        scale,
        growth_tracker,
        found_inf,
        np.float64(growth_factor),
        np.float64(backoff_factor),
        np.int32(growth_interval),
        num_warps=1,
    )
    return ()


def update_samples(rng):
    settings = {"growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 3}
    one = lambda x, kind=np.float32: np.full((), x, kind)  # noqa: E731
    given = lambda scale, tracker, found: (one(scale), one(tracker, np.int32), one(found))  # noqa: E731
    yield Sample("worked, a step", given(8, 0, 0), settings, answers=(8, 1), dtypes=())
    yield Sample("worked, time to grow", given(8, 2, 0), settings, answers=(16, 0), dtypes=())
    yield Sample("worked, overflow", given(8, 2, 1), settings, answers=(4, 0), dtypes=())
    yield Sample("worked, no further", given(2.0**127, 2, 0), settings, answers=(2.0**127, 0), dtypes=())


AMP_UPDATE_SCALE = register(
    Op(
        name="amp_update_scale",
        kernel=Kernel(numpy=update_numpy, triton=update_triton),
        samples=update_samples,
        outputs=(),
        differentiable=0,
        zero=("scale", "found_inf"),  # there is no output to differentiate
        writes=("scale", "growth_tracker"),
    )
)
