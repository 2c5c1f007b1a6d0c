"""Contrastive regularisation as a loss of a model in BasicSR's manner: options, `feed_data`, `optimize_parameters`.

BasicSR builds losses from its option file. Registered there (`@LOSS_REGISTRY.register()` over `CRLoss`), this one is
switched on by `train: {cr_opt: {type: CRLoss, loss_weight: 0.1, rate: "1:4"}}`. Here the few lines of a model that it
takes stand by themselves, since BasicSR needs an old torchvision.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reprolib import ContrastiveRegularisation, Rate, load_features


class CRLoss(nn.Module):
    """Arguments as BasicSR's losses have them."""

    def __init__(self, loss_weight: float = 0.1, rate: str = "1:1", features: str = "vgg19"):
        super().__init__()
        self.loss_weight = loss_weight
        self.cr = ContrastiveRegularisation(load_features(features), Rate.parse(rate))

    def forward(self, pred: Tensor, target: Tensor, degraded: Tensor) -> Tensor:
        """Weighted loss of B3HW pictures, RGB in [0, 1], as BasicSR's loaders give them."""
        loss, _ = self.cr(pred, target, degraded)
        return self.loss_weight * loss


class DehazeModel:
    """What BasicSR's SRModel does in a step, with a third loss."""

    def __init__(self, net_g: nn.Module, opt: Mapping[str, Any]):
        self.net_g = net_g
        self.cri_pix = nn.L1Loss()
        self.cri_cr = CRLoss(**opt["cr_opt"]) if opt.get("cr_opt") else None
        self.optimizer_g = torch.optim.Adam(net_g.parameters(), **opt["optim_g"])

    def feed_data(self, data: Mapping[str, Tensor]) -> None:
        self.lq, self.gt = data["lq"], data["gt"]

    def optimize_parameters(self, current_iter: int) -> dict[str, float]:
        self.optimizer_g.zero_grad()
        output = self.net_g(self.lq)
        losses = {"l_pix": self.cri_pix(output, self.gt)}
        if self.cri_cr is not None:
            losses["l_cr"] = self.cri_cr(output, self.gt, self.lq)  # the degraded picture is the negative
        sum(losses.values(), torch.zeros(())).backward()
        self.optimizer_g.step()
        return {name: loss.item() for name, loss in losses.items()}


def main(features: str = "vgg19", steps: int = 20) -> list[dict[str, float]]:
    """Train a network of one layer on invented pictures; returns the losses of each step."""
    model = DehazeModel(nn.Conv2d(3, 3, 3, padding=1),
                        {"cr_opt": {"rate": "1:2", "features": features}, "optim_g": {"lr": 1e-3}})
    logs = []
    for step in range(steps):
        clear_B3HW = torch.rand(4, 3, 64, 64)
        model.feed_data({"lq": 0.4 * clear_B3HW + 0.6 * 0.9, "gt": clear_B3HW})
        logs.append(model.optimize_parameters(step))
        print(", ".join(f"{name} {value:.4f}" for name, value in logs[-1].items()))
    return logs


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", default="vgg19")
    main(parser.parse_args().features)
