"""FastCUT: CUT with a heavier contrastive term, no identity term, and flip equivariance (Park et al., ECCV 2020)."""

from __future__ import annotations

from reprolib.models import System
from reprolib.models.layers.resnet import MULTIPLE, exporter, importer
from reprolib.models.translation.cut import CUT

SYSTEM = System(
    name="fastcut",
    label="FastCUT",
    task="translation",
    build=CUT,
    source="Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020; released layout",
    multiple=MULTIPLE,
    importer=importer("generator"),
    exporter=exporter("generator"),
    method="cut",
    options={"lambda_x": 10.0, "lambda_y": 0.0, "flip": True},
    inference=("generator",),
    kept=("heads",),
    recipe={  # 150 + 50 epochs of horse2zebra's 1,334; Cityscapes has 2,975 an epoch, cat to dog 5,153
        "steps": 266_800, "batch": 1, "load": 286, "crop": 256, "calm_decay": True, "learning_rate": 2e-4,
        "optimiser": {"kind": "adam", "betas": (0.5, 0.999)},
        "schedule": {"kind": "linear", "start": 0.75},
    },
)
