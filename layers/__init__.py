"""What networks are built from and trained with: modules, losses, initialisation, optimizers, schedulers."""

if __name__ != "trigrad.layers":
    raise ImportError("this folder is a room of trigrad: write 'import trigrad.layers', not 'import layers'")
