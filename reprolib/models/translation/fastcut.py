"""FastCUT: CUT with a heavier contrastive term, no identity term, and flip equivariance (Park et al., ECCV 2020)."""

from __future__ import annotations

from dataclasses import replace

from reprolib.models.translation import cut

SYSTEM = replace(
    cut.SYSTEM,
    name="fastcut",
    label="FastCUT",
    objective=cut.CUTObjective(lambda_x=10.0, lambda_y=0.0, flip=True),
    # 150 + 50 epochs of horse2zebra's 1,334; Cityscapes has 2,975 an epoch, cat to dog 5,153
    recipe={**cut.SYSTEM.recipe, "steps": 266_800, "schedule": {"kind": "linear", "start": 0.75}},
)
