"""One operation, or one family whose mathematics is one, per file.  Importing this package fills the table."""

if __name__ != "trigrad.kernels":
    raise ImportError("this folder is a room of trigrad: write 'import trigrad.kernels', not 'import kernels'")

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
