"""DistanceGAN's form for a single picture (Benaim and Wolf, NeurIPS 2017), row 'SelfDistance' of CUT's table."""

from __future__ import annotations

from reprolib.models import System
from reprolib.models.layers.resnet import MULTIPLE
from reprolib.models.translation.distancegan import DistanceGAN

SYSTEM = System(
    name="selfdistance",
    label="SelfDistance",
    task="translation",
    build=DistanceGAN,
    source="Benaim and Wolf, One-Sided Unsupervised Domain Mapping, NeurIPS 2017; distances between halves of pictures",
    multiple=MULTIPLE,
    method="distance",
    options={"pairs": "halves"},
    inference=("generator_ab",),
    recipe={  # 100 + 100 epochs of horse2zebra's 1,334 in batches of 2; the authors resize the short side, to 286
        "steps": 133_400, "batch": 2, "load": 286, "crop": 256, "learning_rate": 2e-4,
        "optimiser": {"kind": "adam", "betas": (0.5, 0.999)},
        "schedule": {"kind": "linear", "start": 0.5},
    },
)
