"""Modules, losses and what they are made of, under the names of ``torch.nn``."""
