"""Anybody's results under every protocol: PSNR and SSIM of one folder differ by what is compared, and how.

On the command line: `reprolib score OUTPUTS TRUTH`. Files belong together by name; 1400_3.png may belong to 1400.png.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from reprolib.evaluation.result import FolderScores
from reprolib.evaluation.score import score


def main(outputs: Path | None = None, truth: Path | None = None) -> FolderScores:
    """Score two folders; without any, two invented pictures with a little noise in place of a network's error."""
    with tempfile.TemporaryDirectory() as folder:
        if outputs is None or truth is None:
            outputs, truth = _invented(Path(folder))
        found = score(outputs, truth, ["psnr", "ssim"])
    for protocol, means in found.protocols.items():
        print(f"{protocol:12} " + ", ".join(f"{metric} {value:.4f}" for metric, value in means.items()))
    return found


def _invented(folder: Path) -> tuple[Path, Path]:
    random = np.random.default_rng(0)
    for side in ("outputs", "truth"):
        (folder / side).mkdir()
    for name in ("1.png", "2.png"):
        clear = np.kron(random.integers(0, 256, (8, 8, 3)), np.ones((16, 16, 1)))
        noisy = (clear + random.normal(0, 5, clear.shape)).clip(0, 255)
        for side, picture in (("truth", clear), ("outputs", noisy)):
            Image.fromarray(picture.astype(np.uint8)).save(folder / side / name)
    return folder / "outputs", folder / "truth"


if __name__ == "__main__":
    main()
