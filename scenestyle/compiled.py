"""How numba is to compile kernels whose loops LLVM turns into vectors."""

from typing import Any

FAST: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"nnan", "ninf", "nsz", "arcp", "contract", "afn"},
}
"""Everything but `reassoc`: with the freedom to sum in another order, LLVM gives a kernel that it
just compiled another order than the same kernel from the cache (numba 0.68 hands it the loop of a
parallel kernel twice), so that a first run would differ from all later ones by rounding."""
