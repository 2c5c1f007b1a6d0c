"""AOD-Net: All-in-One Dehazing Network (Li et al., ICCV 2017).

The recipe is the paper's. Three things of it are not:

* the loss. What the authors trained with is not published; the one layer that is, in a template for testing, is Caffe's
  `EuclideanLoss`, half the *sum* of a picture's squares, 460,800 times the mean at 640x480. Here it is the mean. With
  gradients clipped to a norm of 0.1, the sum's always are, the mean's until they fall below;
* the start. The paper has Gaussian weights of unknown spread (0.02 in a PyTorch port), here it is PyTorch's default;
* the pictures. The paper makes its own from NYU2's depth, 640x480; here they are the run's dataset.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models.system import System


class AODNet(nn.Module):
    """Five small convolutions estimate K; the picture is J = ReLU(K x - K + 1) (equation 4, b = 1).

    The layout has no size to reduce. ReLU after every convolution, as published.

    Shape:
        B3HW in [0, 1] to B3HW, non-negative.
    """

    def __init__(self) -> None:
        super().__init__()
        self.e_conv1 = nn.Conv2d(3, 3, 1)
        self.e_conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.e_conv3 = nn.Conv2d(6, 3, 5, padding=2)
        self.e_conv4 = nn.Conv2d(6, 3, 7, padding=3)
        self.e_conv5 = nn.Conv2d(12, 3, 3, padding=1)

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        x1 = F.relu(self.e_conv1(hazy_B3HW))
        x2 = F.relu(self.e_conv2(x1))
        x3 = F.relu(self.e_conv3(torch.cat((x1, x2), 1)))
        x4 = F.relu(self.e_conv4(torch.cat((x2, x3), 1)))
        k = F.relu(self.e_conv5(torch.cat((x1, x2, x3, x4), 1)))
        return F.relu(k * hazy_B3HW - k + 1)


KINDS = {"0": "weight", "1": "bias"}
"""What a blob of a Caffe layer is, by its number."""


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' `.caffemodel`: conv1.0 is e_conv1.weight, conv1.1 is e_conv1.bias. Both take RGB in [0, 1]."""
    layers = ((*name.rpartition("."), tensor) for name, tensor in state.items())
    return {f"e_{layer}.{KINDS[number]}": tensor for layer, _, number, tensor in layers}


SYSTEM = System(
    name="aodnet",
    label="AOD-Net",
    task="dehazing",
    build=AODNet,
    source="Li et al., AOD-Net: All-in-One Dehazing Network, ICCV 2017",
    paper_params="0.002M",
    verified_params=1_761,  # released layout
    importer=from_official,
    recipe={  # 10 epochs of 27,256 pictures; theirs are 640x480, and 460 is the largest square of ITS's 620x460
        "loss": {"mse": 1.0},
        "optimiser": {"kind": "sgd", "momentum": 0.9, "weight_decay": 1e-4},
        "learning_rate": 1e-3, "schedule": {"kind": "constant"},
        "steps": 34_070, "batch": 8, "crop": 460, "clip": 0.1, "augment": False,
    },
)
