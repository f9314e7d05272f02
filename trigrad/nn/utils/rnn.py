"""Sequences of different lengths, under the names of ``torch.nn.utils.rnn``."""

from ...layers.vectors import pad_sequence as pad_sequence
from ...layers.vectors import unpad_sequence as unpad_sequence
