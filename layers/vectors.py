"""Parameters as one vector and back, and sequences of different lengths as one tensor."""

from __future__ import annotations

from collections.abc import Iterable

from ..autograd import Tensor
from ..kernels.cat import cat
from ..kernels.create import full
from ..kernels.stack import stack


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters, one after another: (n,).

    >>> parameters_to_vector([Tensor([[1.0], [2.0]]), Tensor([3.0])]).tolist()
    [1.0, 2.0, 3.0]
    """
    return cat([p.reshape((-1,)) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the elements of ``vec`` for their values.

    Raises TypeError for what is no Tensor, RuntimeError where it has too few elements.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a Tensor, got {type(vec).__name__}")
    held = list(parameters)
    wanted = sum(p.numel() for p in held)
    if vec.ndim != 1 or vec.numel() < wanted:
        raise RuntimeError(f"vector_to_parameters: expected a vector of {wanted} elements, got {vec.shape}")
    begin = 0
    for p in held:
        p.data = vec.detach()[begin : begin + p.numel()].reshape(p.shape)
        begin += p.numel()


def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L, ...) of different lengths as one tensor (T, N, ...), or (N, T, ...) with ``batch_first``.

    The shorter ones are filled up with ``padding_value`` on the "right" or the "left".  Raises RuntimeError for no
    sequences, other trailing sizes and another side.

    >>> pad_sequence([Tensor([1.0]), Tensor([2.0, 3.0])], batch_first=True).tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    if padding_side not in ("left", "right"):
        raise ValueError(f"pad_sequence: expected padding_side 'left' or 'right', got {padding_side!r}")
    given = list(sequences.unbind(0) if isinstance(sequences, Tensor) else sequences)
    if not given:
        raise RuntimeError("pad_sequence: expected at least one sequence")
    rest = given[0].shape[1:]
    for x in given:
        if not x.ndim or x.shape[1:] != rest:
            raise RuntimeError(f"pad_sequence: expected sequences (L, {', '.join(map(str, rest))}), got {x.shape}")
    longest = max(x.shape[0] for x in given)
    padded = []
    for x in given:
        if x.shape[0] < longest:
            more = full((longest - x.shape[0], *rest), padding_value, dtype=x.dtype, device=x.device)
            x = cat((x, more) if padding_side == "right" else (more, x))
        padded.append(x)
    return stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded tensor, cut to their ``lengths``: what ``pad_sequence`` was given."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:n] for row, n in zip(rows.unbind(0), lengths.tolist(), strict=True)]
