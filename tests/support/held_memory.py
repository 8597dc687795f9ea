"""What torch holds at the fullest moment of a computation without numbers, on the device `meta`."""

import weakref
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def held_at_most(compute: Callable[[], object]) -> int:
    """Bytes of all tensors that `compute` makes and still holds, at the fullest moment.

    Attention is taken as the kernels do it that never hold its weights.
    """
    held = _Held()
    with patch("torch.nn.functional.scaled_dot_product_attention", _attention_of_one_kernel), held:
        compute()
    return held.most


def _attention_of_one_kernel(query: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return torch.empty_like(query)


class _Held(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.most = self._now = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        known = {each.untyped_storage()._cdata for each in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for each in _tensors(result):
            storage = each.untyped_storage()
            key = storage._cdata
            if key not in self._sizes and key not in known:
                self._sizes[key] = storage.nbytes()
                self._now += storage.nbytes()
                weakref.finalize(storage, self._forget, key)
        self.most = max(self.most, self._now)
        return result

    def _forget(self, key: int) -> None:
        self._now -= self._sizes.pop(key)


def _tensors(tree: object) -> list[torch.Tensor]:
    return [each for each in tree_leaves(tree) if isinstance(each, torch.Tensor)]
