"""The dtype of training: bfloat16 where the processor has instructions for it, else float32.

Without them bfloat16 is emulated: on a processor with AVX2 alone, a step of the denoiser took 15 s
of CPU time with it and 1.3 s without.
"""

from functools import cache

import torch

_CAPABILITIES_WITH_BFLOAT16 = ("AVX512",)
"""as torch names processors; those of this kind that lack the instructions emulate them fast enough
"""


@cache
def training_dtype() -> torch.dtype:
    """bfloat16 or float32, whichever this machine multiplies matrices in faster."""
    capability = torch.backends.cpu.get_cpu_capability()
    return torch.bfloat16 if capability in _CAPABILITIES_WITH_BFLOAT16 else torch.float32


def training_precision() -> torch.autocast:
    """Context in which networks compute in `training_dtype`."""
    dtype = training_dtype()
    return torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16)
