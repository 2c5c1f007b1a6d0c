"""What adversarial methods share: the least-squares loss, the memory of earlier fakes, discriminators held still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reprolib import distributed
from reprolib.training import optimisation

POOL = 50
"""Fakes that a pool keeps (CycleGAN, section 4)."""


def least_squares(logits: Tensor, target: float) -> Tensor:
    """LSGAN (Mao et al., ICCV 2017): mean square of logits - target; scalar float32 (float64 for float64)."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return (logits - target).square().mean()


def discriminator_loss(fabric: Fabric, discriminator: nn.Module, real_B3HW: Tensor, fake_B3HW: Tensor) -> Tensor:
    """Loss of a discriminator, half of each side; no gradient reaches the fakes. Both sides go through in one pass."""
    with fabric.autocast():
        logits = discriminator(torch.cat((real_B3HW, fake_B3HW.detach().to(real_B3HW.dtype))))
    real, fake = logits.split((len(real_B3HW), len(fake_B3HW)))
    return 0.5 * (least_squares(real, 1.0) + least_squares(fake, 0.0))


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Gradients pass through these networks and are not gathered in them."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)


def adam(learning_rate: float, *networks: nn.Module) -> torch.optim.Adam:
    """The optimiser of the whole family: betas 0.5 and 0.999."""
    return optimisation.adam([p for network in networks for p in network.parameters()], learning_rate, (0.5, 0.999))


class ImagePool:
    """Fakes of earlier steps for a discriminator (Shrivastava et al., CVPR 2017; CycleGAN, section 4).

    While it fills, every picture passes. Then each one passes with p = 0.5, and otherwise changes places with a stored
    one, drawn uniformly. Several processes keep the same pool: each sees the fakes of all and shows its own rows.
    """

    def __init__(self, size: int = POOL):
        self.size = size
        self.images: list[Tensor] = []

    def exchange(self, images_B3HW: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures to show in place of these, B3HW, detached; `generator` is on the CPU."""
        shown = []
        for image_3HW in distributed.gather(images_B3HW):
            if len(self.images) < self.size:
                self.images.append(image_3HW.clone())
            elif torch.rand((), generator=generator) < 0.5:
                slot = int(torch.randint(self.size, (), generator=generator))
                stored, self.images[slot] = self.images[slot], image_3HW.clone()
                image_3HW = stored.to(image_3HW.device)
            shown.append(image_3HW)
        return torch.stack(shown[distributed.rows(len(shown))])

    def state_dict(self) -> dict[str, Any]:
        return {"images": list(self.images)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images = list(state["images"])
