"""Contrastive regularisation (AECR-Net, CVPR 2021, equation 5) in somebody's own dehazing loop."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from reprolib import ContrastiveRegularisation, Rate, load_features

BETA = 0.1  # weight of the term, as in the paper


def pairs(steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Stands for your loader: hazy and clear, B3HW, RGB in [0, 1]."""
    for _ in range(steps):
        clear_B3HW = torch.rand(4, 3, 64, 64)
        yield 0.4 * clear_B3HW + 0.6 * 0.9, clear_B3HW


def main(features: str = "vgg19", steps: int = 20) -> list[float]:
    """Train a network of one layer; returns the loss of each step."""
    network = nn.Conv2d(3, 3, 3, padding=1)  # yours
    cr = ContrastiveRegularisation(load_features(features), Rate(positives=1, negatives=1))
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)  # CR itself has nothing to train
    losses = []
    for hazy_B3HW, clear_B3HW in pairs(steps):
        restored_B3HW = network(hazy_B3HW)
        contrast, logs = cr(restored_B3HW, clear_B3HW, hazy_B3HW)
        loss = nn.functional.l1_loss(restored_B3HW, clear_B3HW) + BETA * contrast
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        print(f"loss {loss:.4f}, CR {contrast:.4f}, pull {logs['numerator']:.4f}, push {logs['denominator']:.4f}")
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", default="vgg19")
    main(parser.parse_args().features)
