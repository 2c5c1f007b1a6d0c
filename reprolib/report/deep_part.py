"""What the deep part of AECR-Net gives to its pictures: blocks and deformable layers, at a quarter of the size.

Features can also pass it by, through the connections from encoder to decoder. A deformable layer whose taps leave the
picture, or whose masks close, answers its bias everywhere and passes no gradient on: the part is dead from then on, and
the network learns to do without it. No score tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn

from reprolib import models
from reprolib.data.sample import choose_pictures
from reprolib.errors import UserError
from reprolib.evaluation.networks import load_network
from reprolib.evaluation.trained import weights_of
from reprolib.metrics.protocols import measure
from reprolib.models.dehazing.aecrnet import AECRNet
from reprolib.models.inference import restore
from reprolib.progress import track
from reprolib.report.markdown import to_markdown
from reprolib.report.offsets import TAPS
from reprolib.runs.profile import read_profile

SYSTEM = "aecrnet"

Reads = dict[str, list[float]]


def table(profile: str, dataset: str, limit: int, root: Path = Path(), data_root: Path | None = None) -> pd.DataFrame:
    """A line for each network of AECR-Net that the profile trained, means over test pictures of a dataset.

    How much of the features each application of the deformable layer takes in (0.5 as initialised), and PSNR in dB: of
    the network, and of the network with what its deep part gives replaced by the mean over each picture.

    Raises:
        UserError: the profile has no trained AECR-Net, or the pictures are not here.
    """
    found = {run.id: path for run in read_profile(profile, root).of_system(SYSTEM)
             if not run.weights_of and (path := weights_of(run, root))}
    if not found:
        raise UserError(f"no trained {SYSTEM} in profile '{profile}'", where=root / "checkpoints" / profile,
                        fix=f"dvc pull checkpoints/{profile}/{SYSTEM}, or reprolib train {SYSTEM} --profile {profile}")
    pairs = [(pair.hazy, pair.clear) for pair in choose_pictures(dataset, limit, data_root)]
    system = models.get(SYSTEM)
    rows = []
    for name, weights in track(list(found.items()), "deep parts"):
        network = load_network(system, weights)
        assert isinstance(network, AECRNet)
        taken: Reads = {}
        with _watched(network, taken):
            whole = _psnr(network, pairs, system.multiple)
        with _flattened(network):
            without = _psnr(network, pairs, system.multiple)
        rows.append({"network": name, **{key: float(np.mean(shares)) for key, shares in taken.items()},
                     "PSNR": whole, "without its deep part": without, "difference": whole - without})
    return pd.DataFrame(rows)


def printed(frame: pd.DataFrame) -> str:
    """The lines of `table` as Markdown."""
    forms = {"PSNR": "{:.2f}", "without its deep part": "{:.2f}", "difference": "{:+.2f}"}
    return to_markdown(pd.DataFrame({
        name: [value if isinstance(value, str) or pd.isna(value)
               else forms.get(str(name), "{:.1%}").format(round(value, 3) + 0.0)  # no -0.00
               for value in frame[name]] for name in frame}))


def reading(raw_27hw: NDArray[np.float32]) -> float:
    """How much of the features one application takes in: its mean mask over positions and taps, 0 for taps outside.

    Args:
        raw_27hw: its prediction: 18 offsets (dy, dx, in feature pixels), 9 mask logits.
    """
    size_hw = raw_27hw.shape[1:]
    at = np.indices(size_hw) + TAPS[:, :, None, None] + raw_27hw[:18].reshape(9, 2, *size_hw).astype(float)
    inside = ((at > -1) & (at < np.array(size_hw)[:, None, None])).all(1)
    mask = 1 / (1 + np.exp(-raw_27hw[18:].astype(float).clip(-700, 700)))
    return float((mask * inside).mean())


@contextmanager
def _watched(network: AECRNet, taken: Reads) -> Iterator[None]:
    """Note how much each application of the deformable layer takes in, if there is one."""
    if network.dcn_block is None:
        yield
        return

    def note(_: nn.Module, __: tuple[Tensor, ...], predicted: Tensor) -> None:
        number = sum(map(len, taken.values())) % 2 + 1
        taken.setdefault(f"application {number} takes in", []).append(reading(predicted[0].float().numpy()))

    handle = network.dcn_block.dcn.conv_offset_mask.register_forward_hook(note)
    yield
    handle.remove()


@contextmanager
def _flattened(network: AECRNet) -> Iterator[None]:
    """Let the deep part answer its mean over the picture, channel by channel."""
    last = network.block if network.dcn_block is None else network.dcn_block
    handle = last.register_forward_hook(lambda _, __, out: out.mean((2, 3), keepdim=True).expand_as(out))
    yield
    handle.remove()


def _psnr(network: nn.Module, pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]], multiple: int) -> float:
    score = partial(measure, metrics=("psnr",))
    return float(np.mean([score(restore(network, hazy, multiple), clear / 255)["psnr"] for hazy, clear in pairs]))
