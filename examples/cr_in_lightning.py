"""Contrastive regularisation in a LightningModule; `pip install -e '.[examples]'`."""

from __future__ import annotations

import argparse
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from reprolib import ContrastiveRegularisation, load_features


class Dehazer(lightning.LightningModule):
    """L1 + 0.1 CR."""

    def __init__(self, network: nn.Module, features: str = "vgg19"):
        super().__init__()
        self.network = network
        self.cr = ContrastiveRegularisation(load_features(features))  # frozen, and moved to the device with the rest

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        hazy_B3HW, clear_B3HW = batch
        restored_B3HW = self.network(hazy_B3HW)
        contrast, logs = self.cr(restored_B3HW, clear_B3HW, hazy_B3HW)
        loss = nn.functional.l1_loss(restored_B3HW, clear_B3HW) + 0.1 * contrast
        self.log_dict({"loss": loss, "cr": contrast, **{f"cr_{name}": value.float() for name, value in logs.items()}})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), 1e-3)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """VGG's weights are no part of what was trained."""
        kept = {name: value for name, value in checkpoint["state_dict"].items() if not name.startswith("cr.")}
        checkpoint["state_dict"] = kept

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] |= {f"cr.{name}": value for name, value in self.cr.state_dict().items()}


def main(features: str = "vgg19", steps: int = 20, **trainer: Any) -> lightning.Trainer:
    """Train a network of one layer on invented pictures."""
    clear_N3HW = torch.rand(4 * steps, 3, 64, 64)
    pairs = TensorDataset(0.4 * clear_N3HW + 0.6 * 0.9, clear_N3HW)
    run = lightning.Trainer(max_steps=steps, **trainer)
    run.fit(Dehazer(nn.Conv2d(3, 3, 3, padding=1), features), DataLoader(pairs, batch_size=4))
    return run


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", default="vgg19")
    main(parser.parse_args().features)
