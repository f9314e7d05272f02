"""Data sets, samplers, transforms and the loader that makes batches of tensors from them."""

if __name__ != "trigrad.data":
    raise ImportError("this folder is a room of trigrad: write 'import trigrad.data', not 'import data'")
