"""What an array, a device and an op are: dtypes, devices, the op table, launchers, the runtime.

This room knows no gradient and no operation by name; the others are built on it.
"""

if __name__ != "trigrad.framework":
    raise ImportError("this folder is a room of trigrad: write 'import trigrad.framework', not 'import framework'")

from .malloc import keep_freed_memory as _keep_freed_memory

_keep_freed_memory()
