"""Checkpointing, under the names of ``torch.utils.checkpoint``."""

from ..autograd.checkpoint import CheckpointError as CheckpointError
from ..autograd.checkpoint import checkpoint as checkpoint
from ..autograd.checkpoint import checkpoint_sequential as checkpoint_sequential
