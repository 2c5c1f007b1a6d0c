"""For torch.hub: `torch.hub.load("OWNER/REPOSITORY", "dehazer", "aodnet", weights="FILE")`."""

from torch import nn

dependencies = ["torch", "torchvision", "lightning_fabric", "safetensors", "pydantic", "skimage"]


def dehazer(system: str = "aecrnet", weights: str | None = None) -> nn.Module:
    """A dehazer in evaluation, B3HW in [0, 1] to B3HW; see `reprolib.load`."""
    from reprolib import load

    return load(system, weights)
