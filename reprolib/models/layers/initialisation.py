"""Initial weights of adversarially trained networks, as the released codes of the CycleGAN family set them."""

from __future__ import annotations

from torch import nn

GAIN = 0.02
"""Standard deviation of 'normal', gain of 'xavier', and the spread of affine scales around 1."""


def initialise(network: nn.Module, kind: str, zero_biases: bool = True) -> None:
    """Draw the weights of all convolutions and linear layers anew, from torch's own random stream.

    Args:
        kind: 'normal' is N(0, 0.02) (CycleGAN); 'xavier' is Xavier's normal with gain 0.02 (CUT), some 40 times smaller
            in the middle of a generator, so that first outputs are nearly grey.
        zero_biases: of these layers; otherwise they keep PyTorch's uniform ones. Affine normalisations start from
            N(1, 0.02) and 0 in any case.
    """
    assert kind in ("normal", "xavier"), kind
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if kind == "normal":
                nn.init.normal_(module.weight, 0.0, GAIN)
            else:
                nn.init.xavier_normal_(module.weight, GAIN)
            if zero_biases and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.InstanceNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, GAIN)
            nn.init.zeros_(module.bias)
