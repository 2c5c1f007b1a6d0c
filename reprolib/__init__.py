"""Reference reproduction of contrastive learning for low-level vision (AECR-Net, CUT).

    from reprolib import ContrastiveRegularisation, PatchNCELoss, Rate, load, load_features

These names stay; `examples/` shows each of them in somebody else's code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reprolib.contrast.features import load_features
    from reprolib.contrast.losses import ContrastiveRegularisation
    from reprolib.contrast.patchnce import PatchNCELoss
    from reprolib.contrast.samples import Rate
    from reprolib.evaluation.networks import load

__all__ = ["ContrastiveRegularisation", "PatchNCELoss", "Rate", "load", "load_features"]
__version__ = "0.2.0"

_PLACES = {"ContrastiveRegularisation": "reprolib.contrast.losses", "PatchNCELoss": "reprolib.contrast.patchnce",
           "Rate": "reprolib.contrast.samples", "load": "reprolib.evaluation.networks",
           "load_features": "reprolib.contrast.features"}


def __getattr__(name: str) -> Any:
    """Loaded when asked for: importing this package is light, and sets nothing."""
    if name not in _PLACES:
        raise AttributeError(f"module 'reprolib' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)
