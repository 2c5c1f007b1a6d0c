"""PatchNCE: the patch of the input at the place of an output patch is told from other patches (Park et al., 2020).

In the slides' frame: *samples* are patches at random positions (`sample_positions`), *features* are taps of an encoder,
which come in as lists of maps, behind projection heads (`project`), and the *loss* is a softmax over cosine
similarities (`patch_nce`). Shapes: B pictures, S positions, C numbers of a projected patch, K keys in a memory bank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import distributed
from reprolib.errors import UserError, unknown

TAU = 0.07
"""Temperature (slides)."""
PATCHES = 256
"""Positions in each layer (Park et al., appendix; 255 of them are negatives)."""
BANK = 16_384
"""External keys of each layer (Park et al., section 4.3; so in MoCo)."""
EPS = 1e-7
"""Added to norms, as in the released code: freshly initialised taps have norms near 1e-5, where the way matters."""
NEGATIVES = ("internal", "minibatch", "external", "both")


def sample_positions(features: Sequence[Tensor], patches: int, generator: torch.Generator) -> list[Tensor]:
    """Distinct random positions in each layer, the same for all pictures of a batch.

    Args:
        features: one BCHW map a layer.
        patches: positions in each layer.
        generator: on the CPU.

    Returns:
        S row-major indices into H * W a layer, int64, on the maps' devices.

    Raises:
        UserError: a layer has fewer positions.
    """
    positions = []
    for feature in features:
        height, width = feature.shape[2:]
        if patches > height * width:
            raise UserError(f"{patches} patches asked of a layer with {width}x{height} positions",
                            fix=f"ask for at most {height * width}, or raise crop")
        chosen = torch.randperm(height * width, generator=generator)[:patches]
        positions.append(chosen.to(feature.device, non_blocking=True))
    return positions


def project(features: Iterable[Tensor], heads: Iterable[Callable[[Tensor], Tensor]],
            positions: Iterable[Tensor]) -> list[Tensor]:
    """z_l^s = H_l(G_enc^l(x))^s of the slides, of length 1, in full precision inside autocast too.

    Args:
        features: one BCHW map a layer.
        heads: H_l for each layer, maps ...C to ...C'.
        positions: S indices into H * W for each layer.

    Returns:
        B, S, C' for each layer, divided by (norm + 1e-7).
    """
    projected = []
    for feature, head, position in zip(features, heads, positions, strict=True):
        with torch.autocast(feature.device.type, enabled=False):
            patches_BSC = _full(feature.flatten(2).index_select(2, position).transpose(1, 2))
            z_BSC = head(patches_BSC)
            projected.append(z_BSC / (z_BSC.norm(dim=2, keepdim=True) + EPS))
    return projected


def patch_nce(query_BSC: Tensor, key_BSC: Tensor, bank_KC: Tensor | None = None, *, tau: float = TAU,
              negatives: str = "internal") -> Tensor:
    """Mean over patches of -log [exp(v v+ / tau) / (exp(v v+ / tau) + sum_n exp(v v_n / tau))] (slides) in one layer.

    The positive of a query is the key of the same picture and position. Keys are detached.

    Args:
        query_BSC: patches of the output, of length 1.
        key_BSC: patches of the input, of length 1.
        bank_KC: keys of other pictures, for the external forms.
        tau: temperature.
        negatives: 'internal': the other positions of the same picture. 'minibatch': of all pictures of the batch, those
            of other processes too.
            'external': the bank. 'both': internal and bank in one softmax, so that each query has S - 1 + K negatives;
            the paper leaves open whether this or a sum of two losses was meant.

    Returns:
        Scalar, in float32 (float64 for float64 patches), inside autocast too.

    Raises:
        UserError: another kind of negatives.
    """
    if negatives not in NEGATIVES:
        raise unknown("kind of negatives", negatives, NEGATIVES)
    with torch.autocast(query_BSC.device.type, enabled=False):
        # Queries are divided, not similarities: with a bank there are 16 times as many of these.
        query_BSC, key_BSC = _full(query_BSC) / tau, _full(key_BSC.detach())
        if negatives == "minibatch":
            query_BSC, key_BSC = query_BSC.flatten(0, 1)[None], distributed.gather(key_BSC).flatten(0, 1)[None]
        batch, patches, _ = query_BSC.shape
        if negatives == "external":
            logits = (query_BSC * key_BSC).sum(2, keepdim=True)
            target = torch.zeros(batch * patches, dtype=torch.long, device=logits.device)
        else:  # positives on the diagonal, which starts behind the keys of earlier processes
            logits = query_BSC @ key_BSC.transpose(1, 2)
            start = distributed.rank() * patches if negatives == "minibatch" else 0
            target = torch.arange(start, start + patches, device=logits.device).repeat(batch)
        if negatives in ("external", "both"):
            assert bank_KC is not None, "external negatives come from a bank"
            logits = torch.cat((logits, query_BSC @ _full(bank_KC.detach()).T), dim=2)
        return F.cross_entropy(logits.flatten(0, 1), target)


class PatchNCE(nn.Module):
    """The mean of `patch_nce` over layers. The slides write a sum; the released code takes the mean, which is kept.

    Args:
        tau: temperature.
        negatives: see `patch_nce`.

    Raises:
        UserError: another kind of negatives.
    """

    def __init__(self, tau: float = TAU, negatives: str = "internal"):
        super().__init__()
        if negatives not in NEGATIVES:
            raise unknown("kind of negatives", negatives, NEGATIVES)
        self.tau, self.negatives = tau, negatives

    def forward(self, queries: Sequence[Tensor], keys: Sequence[Tensor], bank: MemoryBank | None = None) -> Tensor:
        """Scalar loss of B, S, C queries and keys of each layer, with the bank's keys of that layer if it has one."""
        losses = [
            patch_nce(query, key, None if bank is None else bank[layer], tau=self.tau, negatives=self.negatives)
            for layer, (query, key) in enumerate(zip(queries, keys, strict=True))
        ]
        return torch.stack(losses).mean()


class MemoryBank:
    """The last `size` keys of each layer, first in first out (MoCo, He et al., CVPR 2020; slides' external form).

    It starts empty and `bank[layer]` grows to `size` keys, so that no invented key is ever a negative. The loss of an
    empty bank's only candidate, the positive, is 0.

    Args:
        layers: how many.
        size: keys of each layer.
        channels: numbers in a key.
        device: where keys are kept: 84 MB for 5 layers of 16,384 keys of 256 numbers.
    """

    def __init__(self, layers: int, size: int = BANK, channels: int = 256, device: torch.device | str = "cpu"):
        self.keys_LKC = torch.zeros(layers, size, channels, device=device)
        self.seen = 0
        """Keys that ever came in, in each layer."""

    def __getitem__(self, layer: int) -> Tensor:
        """Keys of a layer, K x C in no particular order. Back-propagate before the next `enqueue`."""
        return self.keys_LKC[layer, : self.seen]

    @torch.no_grad()
    def enqueue(self, keys: Sequence[Tensor]) -> None:
        """Take in the keys of a batch, B, S, C for each layer, over the oldest ones; those of all processes."""
        size = self.keys_LKC.shape[1]
        new_LNC = torch.stack([distributed.gather(key).flatten(0, 1) for key in keys])
        count = new_LNC.shape[1]
        kept_LNC = new_LNC[:, -size:]
        slots = torch.arange(count - kept_LNC.shape[1], count, device=new_LNC.device).add(self.seen) % size
        self.keys_LKC[:, slots] = kept_LNC.to(self.keys_LKC.dtype)
        self.seen += count

    def state_dict(self) -> dict[str, Any]:
        return {"keys": self.keys_LKC, "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.keys_LKC.copy_(state["keys"])
        self.seen = state["seen"]


def _full(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
