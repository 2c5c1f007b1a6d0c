"""The DCP question: Table 1 prints 15.09 dB on SOTS, others 16.62 for the same set. Which choice moves it that far?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprolib.errors import UserError
from reprolib.evaluation.record import PUBLISHED
from reprolib.files import write_text
from reprolib.report.markdown import to_markdown

PRINTED = {"Table 1 (AECR-Net)": (15.09, 0.7649), "FFA-Net, gUNet": (16.62, 0.8179)}
"""PSNR in dB and SSIM on SOTS indoor, as printed."""

REAL = "sots-indoor"


def write(frame: pd.DataFrame, root: Path = Path()) -> None:
    """results/published/tables/dcp_variants.{csv,md}, from `reprolib.evaluation.dcp_variants.measure_variants`."""
    out = root / "results" / PUBLISHED / "tables"
    write_text(out / "dcp_variants.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(out / "dcp_variants.md", "\n".join(report(frame)))


def read(root: Path = Path()) -> pd.DataFrame:
    """What `write` wrote.

    Raises:
        UserError: the variants were not measured.
    """
    path = root / "results" / PUBLISHED / "tables" / "dcp_variants.csv"
    if not path.is_file():
        raise UserError("the variants of DCP are not measured yet", where=path, fix="run `reprolib report dcp`")
    return pd.read_csv(path)


def report(frame: pd.DataFrame) -> list[str]:
    """The table, and what it says about the printed numbers, in lines of Markdown."""
    lines = [f"# DCP: what each choice does to PSNR ({frame['pictures'][0]} pictures of {frame['dataset'][0]})", ""]
    shown = frame[["choice", "psnr", "against base", "ssim"]]
    shown = shown.assign(**{"psnr": frame["psnr"].map("{:.2f}".format),
                            "against base": frame["against base"].map("{:+.2f}".format)})
    lines += to_markdown(shown).splitlines()
    lines += ["", *(f"* {sentence}" for sentence in conclusions(frame)), ""]
    return lines


def conclusions(frame: pd.DataFrame) -> list[str]:
    """Which choice comes nearest to each printed number; on other pictures than SOTS, what cannot be concluded."""
    if frame["dataset"][0] != REAL:
        low, high = frame["psnr"].min(), frame["psnr"].max()
        return [f"Measured on {frame['dataset'][0]}, not on SOTS: only differences between choices mean anything, and "
                f"they span {low:.2f} to {high:.2f} dB. Register {REAL} to compare with the printed numbers."]
    found = []
    for source, (psnr, ssim) in PRINTED.items():
        nearest = frame.iloc[int((frame["psnr"] - psnr).abs().argmin())]
        found.append(f"{source} prints {psnr} dB / {ssim}; nearest is '{nearest['choice']}' with "
                     f"{nearest['psnr']:.2f} dB / {nearest['ssim']:.4f}.")
    return [*found, "A choice that lands near a printed number is a possible cause of it, no proof."]
