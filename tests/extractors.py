"""An extractor for tests that have no weights."""

from __future__ import annotations

import torch
from torch import nn

from reprolib.contrast.features import VGGFeatures


def random_vgg(name: str = "vgg16", winograd: bool = True, **_: object) -> VGGFeatures:
    """A VGG with random weights that keep the features' size from layer to layer."""
    torch.manual_seed(1)
    features = VGGFeatures(name, winograd=winograd)
    for layer in features.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return features
