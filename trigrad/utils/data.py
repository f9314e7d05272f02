"""Datasets, samplers and loaders, under the names of ``torch.utils.data``."""
