"""Tools beside the network itself, under the names of ``torch.utils``."""

from . import checkpoint as checkpoint
