"""DistanceGAN's form for a single picture (Benaim and Wolf, NeurIPS 2017), row 'SelfDistance' of CUT's table."""

from __future__ import annotations

from dataclasses import replace

from reprolib.models.translation import distancegan

SYSTEM = replace(
    distancegan.SYSTEM,
    name="selfdistance",
    label="SelfDistance",
    objective=distancegan.DistanceObjective(pairs="halves"),
    source="Benaim and Wolf, One-Sided Unsupervised Domain Mapping, NeurIPS 2017; distances between halves of pictures",
)
