"""Whether an error says that there is no memory left, of a machine or of a GPU."""

from typing import Final

import torch

# torch raises a plain `RuntimeError` that names it where a machine's memory ends
_ALLOCATOR: Final = "DefaultCPUAllocator"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, NumPy or Python could not get memory.

    >>> try:
    ...     torch.empty(1 << 60)
    ... except RuntimeError as error:
    ...     is_out_of_memory(error), is_out_of_memory(RuntimeError("shapes do not match"))
    (True, False)
    """
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or _ALLOCATOR in str(error)
