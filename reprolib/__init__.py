"""Reference reproduction of contrastive learning for low-level vision (AECR-Net, CUT)."""

__version__ = "0.1.0"
