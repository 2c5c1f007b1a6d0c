"""PatchNCE: a patch of the output finds the patch of the input at its own place among other patches.

Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation" (CUT), ECCV 2020, equations 2 to 4. In the
slides' frame: the *loss* is a softmax over cosine similarities (`patch_nce`), *samples* are patches at random positions
(`sample_positions`), *features* are taps of an encoder behind projection heads (`project`).
Legend: B pictures, S positions, C numbers of a projected patch, K keys in a memory bank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import distributed
from reprolib.contrast.kernels import at_least_float32
from reprolib.contrast.memory_bank import MemoryBank
from reprolib.errors import UserError, unknown
from reprolib.runtime import to_device

TAU = 0.07
"""Temperature (slides)."""
PATCHES = 256
"""Positions in each layer (Park et al., appendix; 255 of them are negatives)."""
EPS = 1e-7
"""Added to norms, as in the released code: freshly initialised taps have norms near 1e-5, where the place of the
guard matters."""
NEGATIVES = ("internal", "minibatch", "external", "both")


def patch_nce(query_BSC: Tensor, key_BSC: Tensor, bank_KC: Tensor | None = None, *, tau: float = TAU,
              negatives: str = "internal") -> Tensor:
    """Mean over patches of -log [exp(v v+ / tau) / (exp(v v+ / tau) + sum_n exp(v v_n / tau))], equation 2, one layer.

    The positive v+ of a query v is the key of the same picture and position. Keys are detached.

    Args:
        query_BSC: patches of the output, of length 1.
        key_BSC: patches of the input, of length 1.
        bank_KC: keys of other pictures, for the external forms.
        tau: temperature, above 0.
        negatives: 'internal': the other positions of the same picture (equation 3). 'minibatch': those of all pictures
            of the batch, of other processes too. 'external': the bank (equation 4). 'both': internal and bank in one
            softmax, so that each query has S - 1 + K negatives; the paper leaves open whether this or a sum of two
            losses was meant.

    Returns:
        Scalar, at least 0, in float32 (float64 for float64 patches), inside autocast too.

    Raises:
        UserError: another kind of negatives.

    Example:
        >>> patches = torch.eye(4)[None]  # orthogonal: each is like itself alone
        >>> bool(patch_nce(patches, patches) < 1e-5)
        True
        >>> patch_nce(patches, torch.ones(1, 4, 4) / 2)  # keys that are all alike: log 4
        tensor(1.3863)
    """
    if negatives not in NEGATIVES:
        raise unknown("kind of negatives", negatives, NEGATIVES)
    with torch.autocast(query_BSC.device.type, enabled=False):
        # Queries are divided, not similarities: with a bank there are 16 times as many of these.
        query_BSC, key_BSC = at_least_float32(query_BSC) / tau, at_least_float32(key_BSC.detach())
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
            logits = torch.cat((logits, query_BSC @ at_least_float32(bank_KC.detach()).T), dim=2)
        return F.cross_entropy(logits.flatten(0, 1), target)


class PatchNCELoss(nn.Module):
    """The mean of `patch_nce` over layers (equation 3 has a sum; the released code takes the mean, which is kept).

    Args:
        tau: temperature.
        negatives: see `patch_nce`.

    Raises:
        UserError: another kind of negatives.

    Example:
        >>> maps = [torch.rand(2, 16, 8, 8), torch.rand(2, 32, 4, 4)]  # of the input; here the output has the same
        >>> heads = [nn.Linear(16, 8), nn.Linear(32, 8)]
        >>> positions = sample_positions(maps, 10, torch.Generator())
        >>> patches = project(maps, heads, positions)
        >>> loss = PatchNCELoss()(patches, patches)
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


def sample_positions(features: Sequence[Tensor], patches: int, generator: torch.Generator,
                     allow_fewer: bool = False) -> list[Tensor]:
    """Distinct random positions in each layer, the same for all pictures of a batch.

    Args:
        features: one BCHW map a layer.
        patches: positions in each layer.
        generator: on the CPU.
        allow_fewer: take all positions of a layer that has fewer, as the released code does.

    Returns:
        S row-major indices into H * W a layer, int64, on the maps' devices.

    Raises:
        UserError: a layer has fewer positions, and that is not allowed.
    """
    positions = []
    for feature in features:
        height, width = feature.shape[2:]
        if patches > height * width and not allow_fewer:
            raise UserError(f"{patches} patches asked of a layer with {width}x{height} positions",
                            fix=f"lower patches to {height * width}, or raise crop")
        chosen = torch.randperm(height * width, generator=generator)[:patches]
        positions.append(to_device(chosen, feature.device))
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
            patches_BSC = at_least_float32(feature.flatten(2).index_select(2, position).transpose(1, 2))
            z_BSC = head(patches_BSC)
            projected.append(z_BSC / (z_BSC.norm(dim=2, keepdim=True) + EPS))
    return projected
