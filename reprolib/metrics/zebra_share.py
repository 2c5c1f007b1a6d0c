"""Share of pictures that an ImageNet classifier calls a zebra, for translators from horses: no Inception is needed.

The classifier is torchvision's MobileNetV2 (Sandler et al., CVPR 2018), which comes out of a wheel. A picture counts if
'zebra' is the likeliest of its 1,000 classes. Stripes alone bring that about: read it beside a distance of sets.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric, Score

if TYPE_CHECKING:
    from torch import nn

    from reprolib.metrics.distance import PictureSet

WEIGHTS = Path("weights") / "mobilenet_v2.safetensors"
CLASS = "zebra"


def zebra_share(real: PictureSet, fake: PictureSet) -> Score:
    """In percent of `fake`; details: 'real', the same of the real pictures, which is the most to be hoped for.

    Pictures are resized to 256 on their short side and cropped to the central 224x224, as the classifier was evaluated.

    Raises:
        UserError: the classifier was not fetched.
    """
    from reprolib.errors import UserError

    if not WEIGHTS.is_file():
        raise UserError("no classifier", where=WEIGHTS, fix="run `reprolib weights fetch mobilenet_v2`")
    network = _classifier(WEIGHTS.resolve(), WEIGHTS.stat().st_mtime_ns)
    return Score(_share(network, fake), {"real": _share(network, real)})


@lru_cache(maxsize=1)
def _classifier(weights: Path, _changed: int) -> nn.Module:
    from torchvision.models import mobilenet_v2

    from reprolib.models.weights import load_weights

    network: nn.Module = mobilenet_v2(weights=None).eval()
    load_weights(network, weights)
    return network


def _share(network: nn.Module, pictures: PictureSet) -> float:
    """In percent; one picture at a time, since sizes may differ."""
    import torch
    from torchvision.models import MobileNet_V2_Weights

    published = MobileNet_V2_Weights.IMAGENET1K_V1
    prepare, wanted = published.transforms(), published.meta["categories"].index(CLASS)
    with torch.inference_mode():
        found = sum(int(network(prepare(pictures[i])[None]).argmax() == wanted) for i in range(len(pictures)))
    return 100 * found / len(pictures)


METRIC = Metric(name="zebra_share", label="Zebras", unit="%", decimals=1, better="higher", range=(0.0, 100.0),
                of="sets", function=zebra_share)
