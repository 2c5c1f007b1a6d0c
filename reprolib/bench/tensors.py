"""What tensors hold at their peak, counted one by one, so that it means the same on every device."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class TensorPeak(TorchDispatchMode):
    """Counts the memory of every tensor that is made under it, backward passes included, until it is let go.

    What operators take for themselves while they compute is not in it, nor what was there before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.peak = 0
        """Bytes."""
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        self.peak = max(self.peak, self.held)
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        # views and in-place operations answer with memory that is counted already
        if (key := storage._cdata) not in self._known:
            self._known.add(key)
            self.held += storage.nbytes()
            weakref.finalize(storage, self._release, key, storage.nbytes()).atexit = False

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.held -= size
