"""A layer of vectors, looked up by number: Embedding."""

from __future__ import annotations

from typing import Any

from ..autograd import Parameter, Tensor, no_grad
from ..kernels.create import empty
from ..kernels.embedding import embedding
from . import init
from .module import Module


class Embedding(Module):
    """A table of ``num_embeddings`` vectors of ``embedding_dim``, looked up by number: (...) to (..., embedding_dim).

    ``weight`` is drawn from the standard normal distribution; its row ``padding_idx`` is zero at first and gets no
    gradient.  ``max_norm``, ``norm_type`` and ``scale_grad_by_freq`` are those of ``nn.functional.embedding``.

    >>> layer = Embedding.from_pretrained(Tensor([[1.0, 2.0], [3.0, 4.0]])); layer(Tensor([1, 0])).tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    max_norm: float | None
    norm_type: float
    scale_grad_by_freq: bool
    sparse: bool
    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if sparse:
            raise RuntimeError("Embedding: there are no sparse gradients")
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError(f"Embedding: padding_idx {padding_idx} is out of range for {num_embeddings} rows")
            padding_idx += num_embeddings if padding_idx < 0 else 0
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        if _weight is None:
            self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype), not _freeze)
            self.reset_parameters()
        elif _weight.shape != (num_embeddings, embedding_dim):
            raise AssertionError(
                f"Embedding: expected a weight of shape ({num_embeddings}, {embedding_dim}), got {_weight.shape}"
            )
        else:
            self.weight = Parameter(_weight, not _freeze)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A layer around a table that exists, (num_embeddings, embedding_dim); without gradient unless ``freeze`` is False."""
        if embeddings.ndim != 2:
            raise AssertionError(f"Embedding: expected a table of 2 dimensions, got shape {embeddings.shape}")
        rows, width = embeddings.shape
        return cls(
            rows,
            width,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            _weight=embeddings,
            _freeze=freeze,
        )

    def forward(self, input: Tensor) -> Tensor:
        return embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2.0:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += ", scale_grad_by_freq=True"
        return text
