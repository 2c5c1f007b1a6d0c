"""The memory bank: first in first out, saved whole, without a graph."""

from __future__ import annotations

import copy
import io

import torch
from torch import Tensor
from torch.nn import functional as F

from reprolib.contrast.memory_bank import MemoryBank


def rows(first: int, count: int) -> list[Tensor]:
    """Recognisable keys for two layers: row i is filled with i, of the second layer with -i."""
    numbers = torch.arange(first, first + count, dtype=torch.float32).view(1, count, 1).expand(1, count, 3)
    return [numbers, -numbers]


def test_bank_is_first_in_first_out() -> None:
    bank = MemoryBank(2, size=5, channels=3)
    assert bank[0].shape == (0, 3)
    bank.enqueue(rows(0, 2))
    assert bank[0][:, 0].tolist() == [0, 1] and bank[1][:, 2].tolist() == [0, -1]
    bank.enqueue(rows(2, 4))
    assert sorted(bank[0][:, 0].tolist()) == [1, 2, 3, 4, 5]
    bank.enqueue(rows(6, 4))
    assert sorted(bank[0][:, 0].tolist()) == [5, 6, 7, 8, 9]
    bank.enqueue(rows(10, 13))  # more than it holds
    assert sorted(bank[1][:, 0].tolist()) == [-22, -21, -20, -19, -18]
    assert bank[0].shape == (5, 3)


def test_bank_takes_the_pictures_of_a_batch_in_order() -> None:
    bank = MemoryBank(1, size=3, channels=2)
    bank.enqueue([torch.arange(8.0).view(2, 2, 2)])
    assert sorted(bank[0].flatten().tolist()) == [2, 3, 4, 5, 6, 7]


def test_bank_goes_on_bit_for_bit_after_saving() -> None:
    bank = MemoryBank(2, size=5, channels=3)
    bank.enqueue(rows(0, 7))
    stream = io.BytesIO()
    torch.save(bank.state_dict(), stream)
    stream.seek(0)
    again = MemoryBank(2, size=5, channels=3)
    again.load_state_dict(torch.load(stream, weights_only=True))
    for b in (bank, again):
        b.enqueue(rows(7, 4))
    assert torch.equal(bank[0], again[0]) and torch.equal(bank[1], again[1])
    assert sorted(again[0][:, 0].tolist()) == [6, 7, 8, 9, 10]


def test_bank_has_the_published_size_and_keeps_no_graph() -> None:
    bank = MemoryBank(5)
    assert bank.keys_LKC.shape == (5, 16_384, 256)
    key = F.normalize(torch.randn(1, 256, 256), dim=-1).requires_grad_()
    bank.enqueue([key] * 5)
    assert not bank[0].requires_grad and torch.equal(bank[4], key[0].detach())
    before = copy.deepcopy(bank[0])
    key.data.zero_()
    assert torch.equal(bank[0], before)
