"""Which protocol gives a printed number? The authors' weights on the same pictures, scored in every way in use.

A picture is restored once and scored under all protocols; a file with a line a picture keeps what is done, so that
five hundred pictures of a slow network can be measured in several sittings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reprolib import metrics, models, papers
from reprolib.data.paired import PairedFolder
from reprolib.errors import UserError
from reprolib.evaluation.dehazing import mean
from reprolib.evaluation.networks import device, load_network
from reprolib.files import sha256
from reprolib.metrics.protocols import PROTOCOLS, UNIFORM, Protocol, measure
from reprolib.models.inference import restore
from reprolib.papers import Cell
from reprolib.progress import track

Scores = Mapping[str, Mapping[str, float]]
"""By protocol and metric."""

IN_USE = (
    *PROTOCOLS.values(),
    Protocol("valid", "as aecr, without padding; rounded to 8 bits its SSIM is that of y"),
    Protocol("uniform-8bit", "8 bits; SSIM 7x7 uniform window (scikit-image's defaults on saved pictures)",
             eight_bits=True, window=UNIFORM),
    Protocol("uniform-range2", "as skimage7, for a data range of 2 (scikit-image's default for floats before 0.20)",
             clamp=False, window=UNIFORM, data_range=2.0),
    Protocol("luma", "8 bits; PSNR and SSIM on Y, 11x11 Gaussian, no padding (super-resolution's habit)",
             eight_bits=True, psnr_on="y", ssim_on="y"),
    Protocol("grey", "8 bits; PSNR and SSIM on grey, 11x11 Gaussian, no padding (Wang's MATLAB code on rgb2gray)",
             eight_bits=True, psnr_on="grey", ssim_on="grey"),
    Protocol("volume", "8 bits; SSIM of the RGB array as a volume (MATLAB's ssim)", eight_bits=True, volume=True),
)
"""The registered protocols, and what else papers on dehazing are known to use."""

KEPT = Path("runs/published")
"""What is measured so far, not tracked by Git."""

SET_PSNR = "aecr, PSNR of the set's mean error"
"""Not a protocol of one picture: one mean squared error over all of them, and its PSNR."""


@dataclass(frozen=True)
class Printed:
    """One printed number of a system whose weights are at hand."""

    system: str
    source: str
    metric: str
    printed: str

    def gives(self, value: float) -> bool:
        """Whether a value prints the same."""
        cell = Cell("", "", "", "", self.metric, "", "", self.printed)
        return cell.value is not None and abs(value - cell.value) <= cell.half_digit


@dataclass(frozen=True)
class Comparison:
    """A printed number beside what one protocol gives."""

    system: str
    source: str
    metric: str
    printed: str
    pictures: int
    protocol: str
    value: float
    """With two digits more than are printed."""
    same: bool
    """It prints the same, before this rounding."""


OTHER_PAPERS = (
    ("RESIDE (Li et al., TIP 2019), as FFA-Net cites it", "dcp", "16.62", "0.8179"),
    ("RESIDE (Li et al., TIP 2019), as FFA-Net cites it", "dehazenet", "21.14", "0.8472"),
    ("RESIDE (Li et al., TIP 2019), as FFA-Net cites it", "aodnet", "19.06", "0.8504"),
    ("GCANet (Chen et al., WACV 2019)", "gcanet", "30.23", "0.9800"),
)
"""Source, system, PSNR in dB and SSIM on SOTS indoor, as printed elsewhere than in Table 1."""


def printed_numbers(systems: Iterable[str], dataset: str = "sots-indoor") -> list[Printed]:
    """PSNR and SSIM of these systems: the cells of every paper's tables for the dataset, then `OTHER_PAPERS`."""
    wanted, found = set(systems), []
    for paper in papers.papers().values():
        for cell in paper.cells:
            row = papers.rows()[cell.row]
            if (row.system in wanted and cell.metric in ("psnr", "ssim")
                    and (paper.name, cell.column) in papers.columns_of(dataset)):
                found.append(Printed(row.system, f"{paper.venue}, {row.id}", cell.metric, cell.printed))
    for source, system, psnr, ssim in OTHER_PAPERS:
        if system in wanted:
            found += [Printed(system, source, "psnr", psnr), Printed(system, source, "ssim", ssim)]
    return found


def score_in_every_way(restored_HW3: NDArray[np.floating], clear_HW3: NDArray[np.floating]) -> dict[
        str, dict[str, float]]:
    """PSNR and SSIM of one picture under every protocol of `IN_USE`."""
    return {p.name: measure(restored_HW3, clear_HW3, p, ("psnr", "ssim")) for p in IN_USE}


def measure_systems(weights: Mapping[str, Path | None], pairs: PairedFolder,
                    folder: Path = KEPT) -> dict[str, dict[str, Scores]]:
    """Scores of several systems with their authors' weights, by system and picture.

    Args:
        weights: by system; None for a prior.
        folder: holds a file of `measure_pictures` for each system and weights file. To be deleted when the pictures or
            the code have changed.

    Raises:
        UserError: an unknown system, weights that do not fit, or as `measure_pictures`.
    """
    networks = {name: load_network(models.get(name), file).to(device()) for name, file in weights.items()}
    found = {}
    for name, network in networks.items():
        file = weights[name]
        kept = folder / f"{name}-{sha256(file)[:16] if file else 'prior'}.jsonl"
        dehaze = partial(restore, network, multiple=models.get(name).multiple)
        found[name] = measure_pictures(dehaze, pairs, kept, name)
    return found


def measure_pictures(dehaze: Callable[[NDArray[np.uint8]], NDArray[np.floating]], pairs: PairedFolder, kept: Path,
                     name: str = "scoring") -> dict[str, Scores]:
    """Scores of every pair in every way, by picture.

    Args:
        dehaze: from a hazy picture, uint8 RGB HW3, to the restored one in [0, 1].
        kept: file with a line a picture. What stands in it is not measured again; what it lacks is appended.

    Raises:
        UserError: the file is of other protocols, or cannot be written.
    """
    done = read_lines(kept)
    missing = [number for number, picture in enumerate(pairs.names) if picture not in done]
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.open("a", encoding="utf-8") as lines:
            for number in track(missing, name):
                pair = pairs[number]
                done[pair.name] = score_in_every_way(dehaze(pair.hazy), pair.clear / 255.0)
                # On a new line, whatever a killed run has left of its last one.
                lines.write("\n" + json.dumps({"picture": pair.name, "scores": done[pair.name]}))
                lines.flush()
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", where=kept, fix="choose another place") from error
    return {picture: done[picture] for picture in pairs.names}


def read_lines(kept: Path) -> dict[str, Scores]:
    """What `measure_pictures` has kept, by picture; a line that was cut off when a run was killed is left out.

    Raises:
        UserError: a line of other protocols than `IN_USE`.
    """
    done: dict[str, Scores] = {}
    if not kept.is_file():
        return done
    for line in kept.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if set(entry["scores"]) != {p.name for p in IN_USE}:
            raise UserError("scores under other protocols than are in use now", where=kept, fix="delete it")
        done[entry["picture"]] = entry["scores"]
    return done


def means(scores: Sequence[Scores]) -> dict[str, dict[str, float]]:
    """Over pictures, by metric and protocol, `SET_PSNR` included."""
    found = {metric: {p.name: mean([s[p.name][metric] for s in scores]) for p in IN_USE} for metric in ("psnr", "ssim")}
    errors = [10 ** (-s["aecr"]["psnr"] / 10) for s in scores]
    found["psnr"][SET_PSNR] = -10 * math.log10(mean(errors))
    return found


def compare(scores: Mapping[str, Mapping[str, Scores]], dataset: str = "sots-indoor") -> list[Comparison]:
    """Every printed number against every protocol.

    Args:
        scores: by system and picture.
    """
    measured = {system: means(list(of_pictures.values())) for system, of_pictures in scores.items()}
    return [Comparison(n.system, n.source, n.metric, n.printed, len(scores[n.system]), protocol,
                       round(value, metrics.get(n.metric).decimals + 2), n.gives(value))
            for n in printed_numbers(scores, dataset) for protocol, value in measured[n.system][n.metric].items()]
