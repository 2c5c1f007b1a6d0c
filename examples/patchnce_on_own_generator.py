"""PatchNCE (CUT, ECCV 2020, equation 3) between layers of one's own generator, reached by hooks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reprolib import PatchNCELoss
from reprolib.contrast.patchnce import project, sample_positions


class Taps:
    """Features of chosen layers of any network; its forward is not touched."""

    def __init__(self, layers: Sequence[nn.Module]):
        self.maps: list[Tensor] = []
        for layer in layers:
            layer.register_forward_hook(lambda module, given, made: self.maps.append(made))

    def of(self, network: nn.Module, picture_B3HW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the network makes of a picture, and its features, one BCHW map a layer."""
        self.maps.clear()
        made = network(picture_B3HW)
        return made, list(self.maps)


def main(steps: int = 20, patches: int = 64) -> list[float]:
    """Train a small generator with PatchNCE and a stand-in for the GAN's loss; returns PatchNCE of each step."""
    down = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU())
    generator = nn.Sequential(down, nn.Upsample(scale_factor=4), nn.Conv2d(32, 3, 3, 1, 1), nn.Tanh())  # yours
    taps = Taps([down[0], down[2]])
    heads = nn.ModuleList(nn.Sequential(nn.Linear(c, 64), nn.ReLU(), nn.Linear(64, 64)) for c in (16, 32))
    patch_nce, draws = PatchNCELoss(tau=0.07), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam([*generator.parameters(), *heads.parameters()], 2e-3)
    losses = []
    for _ in range(steps):
        source_B3HW = torch.rand(2, 3, 64, 64) * 2 - 1
        made_B3HW, keys = taps.of(generator, source_B3HW)
        _, queries = taps.of(generator, made_B3HW)  # the output goes through the encoder, too
        positions = sample_positions(keys, patches, draws)  # the same patches of both
        nce = patch_nce(project(queries, heads, positions), [k.detach() for k in project(keys, heads, positions)])
        gan = (made_B3HW - 0.5).square().mean()  # stands for your discriminator
        loss = gan + nce
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(nce.item())
        print(f"GAN {gan:.4f}, PatchNCE {nce:.4f}")
    return losses


if __name__ == "__main__":
    main()
