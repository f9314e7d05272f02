"""trigrad on a GPU against its rivals on that GPU, in one run:  python -m benchmarks.gpu

What it does, in this order, and how it measures is told in docs/gpu.md.
"""
