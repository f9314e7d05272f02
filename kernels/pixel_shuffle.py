"""Channels and pixels exchanged: reshapes and transpositions.

pixel_shuffle(r):   out[..., c, h * r + i, w * r + j] = input[..., (c * r + i) * r + j, h, w]
channel_shuffle(g): out[:, k * g + i] = input[:, i * (C / g) + k]
"""

from operator import index

from ..autograd import Tensor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C * r * r, H, W) as (..., C, H * r, W * r) with r = ``upscale_factor``.  Raises RuntimeError where C does not fit.

    >>> pixel_shuffle(Tensor([[[1.0]], [[2.0]], [[3.0]], [[4.0]]]), 2).numpy()
    array([[[1., 2.],
            [3., 4.]]], dtype=float32)
    """
    r = index(upscale_factor)
    if input.ndim < 3:
        raise RuntimeError(f"pixel_shuffle: expected an input of at least 3 dimensions, got {input.shape}")
    if r < 1:
        raise RuntimeError(f"pixel_shuffle: expected upscale_factor to be positive, got {r}")
    *front, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            f"pixel_shuffle: upscale_factor {r} squared does not divide the {c} channels of {input.shape}"
        )
    k = len(front)
    parts = input.reshape(*front, c // (r * r), r, r, h, w)
    return parts.permute(*range(k), k, k + 3, k + 1, k + 4, k + 2).reshape(*front, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H * r, W * r) as (..., C * r * r, H, W): what undoes ``pixel_shuffle``.  Raises RuntimeError where sizes do not fit.

    >>> pixel_unshuffle(Tensor([[[1.0, 2.0], [3.0, 4.0]]]), 2).shape
    (4, 1, 1)
    """
    r = index(downscale_factor)
    if input.ndim < 3:
        raise RuntimeError(f"pixel_unshuffle: expected an input of at least 3 dimensions, got {input.shape}")
    if r < 1:
        raise RuntimeError(f"pixel_unshuffle: expected downscale_factor to be positive, got {r}")
    *front, c, h, w = input.shape
    if h % r or w % r:
        raise RuntimeError(f"pixel_unshuffle: downscale_factor {r} does not divide height and width of {input.shape}")
    k = len(front)
    parts = input.reshape(*front, c, h // r, r, w // r, r)
    return parts.permute(*range(k), k, k + 2, k + 4, k + 1, k + 3).reshape(*front, c * r * r, h // r, w // r)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """``input`` (N, C, ...) with the channels of ``groups`` groups taken in turn.  Raises RuntimeError where C does not fit.

    >>> channel_shuffle(Tensor([[[1.0], [2.0], [3.0], [4.0]]]), 2).numpy().ravel()
    array([1., 3., 2., 4.], dtype=float32)
    """
    g = index(groups)
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle: expected an input of at least 3 dimensions, got {input.shape}")
    c = input.shape[1]
    if g < 1 or c % g:
        raise RuntimeError(f"channel_shuffle: groups={g} does not divide the {c} channels of {input.shape}")
    parts = input.reshape(input.shape[0], g, c // g, *input.shape[2:])
    return parts.transpose(1, 2).reshape(input.shape)
