"""Optimizers and their schedulers, under the names of ``torch.optim``."""
