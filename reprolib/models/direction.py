"""One use of a translator: in one of its directions and, where one picture has many translations, in one style."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from reprolib.models.inference import channels_of, to_network
from reprolib.models.system import Direction


class OneWay(nn.Module):
    """A translator as a function of pictures alone.

    Args:
        network: of a system with `reverse` or `styles`.
        style_S: numbers of the style; None leaves the choice to the network.

    Shape:
        BCHW in [-1, 1] to BCHW in [-1, 1].
    """

    def __init__(self, network: nn.Module, direction: Direction = "ab", style_S: Tensor | None = None):
        super().__init__()
        self.network, self.direction, self.style_S = network, direction, style_S
        self.channels = channels_of(network)

    def forward(self, source_BCHW: Tensor) -> Tensor:
        options = {} if self.style_S is None else {
            "style_BS": self.style_S.to(source_BCHW.device).expand(len(source_BCHW), -1)}
        return self.network(source_BCHW, direction=self.direction, **options)


def one_way(network: nn.Module, direction: Direction) -> nn.Module:
    """A network that translates in this direction when it is called; A to B is what it does by itself."""
    return network if direction == "ab" else OneWay(network, direction)


def random_styles(count: int, numbers: int, seed: int) -> list[Tensor]:
    """Styles from N(0, 1), as training draws them; the first ones are the same however many are drawn."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(numbers, generator=generator) for _ in range(count)]


@torch.inference_mode()
def style_of(network: nn.Module, picture_HWC: np.ndarray, direction: Direction) -> Tensor:
    """The style of a picture of the domain that is translated to, S.

    Raises:
        UserError: it is too small.
    """
    style_1S: Tensor = network.eval().style(to_network(network, picture_HWC, low=-1.0), direction[1])  # type: ignore[operator]
    return style_1S[0].cpu()


def in_styles(network: nn.Module, direction: Direction, styles: Sequence[Tensor]) -> list[nn.Module]:
    """The translator in each of these styles."""
    return [OneWay(network, direction, style_S) for style_S in styles]
