"""The DCP question: Table 1 prints 15.09 dB on SOTS, others 16.62 for the same set. Which choice moves it that far?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprolib.errors import UserError
from reprolib.evaluation.printed import printed_numbers
from reprolib.evaluation.record import PUBLISHED
from reprolib.files import write_text
from reprolib.report.markdown import to_markdown
from reprolib.runs.places import results_folder

CLOSE = {"psnr": 0.05, "ssim": 0.0005}
"""A choice gives a printed pair if it comes this near to both numbers."""

REAL = "sots-indoor"


def write(frame: pd.DataFrame, root: Path = Path()) -> None:
    """results/published/tables/dcp_variants.{csv,md}, from `reprolib.evaluation.dcp_variants.measure_variants`.

    Of the same dataset, what stands there already stays, unless it was measured again on as many pictures.
    """
    out = results_folder(PUBLISHED, root) / "tables"
    if (out / "dcp_variants.csv").is_file():
        before = read(root)
        before = before[before["dataset"] == frame["dataset"].iloc[0]]
        frame = pd.concat([before, frame], ignore_index=True)
        frame = frame.drop_duplicates(["pictures", "choice"], keep="last")
        frame = frame.sort_values("pictures", kind="stable", ignore_index=True)
    write_text(out / "dcp_variants.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(out / "dcp_variants.md", "\n".join(report(frame)))


def read(root: Path = Path()) -> pd.DataFrame:
    """What `write` wrote.

    Raises:
        UserError: the variants were not measured.
    """
    path = results_folder(PUBLISHED, root) / "tables" / "dcp_variants.csv"
    if not path.is_file():
        raise UserError("the variants of DCP are not measured yet", where=path, fix="run `reprolib report dcp`")
    return pd.read_csv(path)


def report(frame: pd.DataFrame) -> list[str]:
    """A table for each set of pictures, and what they say about the printed numbers, in lines of Markdown."""
    lines = [f"# DCP: what each choice does to its scores on {frame['dataset'].iloc[0]}", ""]
    for pictures, group in frame.groupby("pictures"):
        lines += [f"{pictures} pictures:", "", *to_markdown(shown(group)).splitlines(), ""]
    return [*lines, *(f"* {sentence}" for sentence in conclusions(frame)), ""]


def shown(group: pd.DataFrame) -> pd.DataFrame:
    """The columns that a reader compares, printed."""
    table = group[["choice", "psnr", "against base", *_ssims(group)]]
    return table.assign(**{"psnr": group["psnr"].map("{:.2f}".format),
                           "against base": group["against base"].map("{:+.2f}".format)})


def conclusions(frame: pd.DataFrame) -> list[str]:
    """Which choice gives each printed pair, or comes nearest to its PSNR; on other pictures, what cannot be concluded.

    Of a choice that was measured on several sets of pictures the largest counts.
    """
    if frame["dataset"].iloc[0] != REAL:
        low, high = frame["psnr"].min(), frame["psnr"].max()
        return [f"Measured on {frame['dataset'].iloc[0]}, not on SOTS: only differences between choices mean anything, "
                f"and they span {low:.2f} to {high:.2f} dB. Register {REAL} to compare with the printed numbers."]
    largest = frame.sort_values("pictures", kind="stable").drop_duplicates("choice", keep="last")
    found = []
    for source, pair in _printed().items():
        psnr, ssim = float(pair["psnr"]), float(pair["ssim"])
        both = largest[((largest["psnr"] - psnr).abs() <= CLOSE["psnr"])
                       & ((largest[_ssims(frame)] - ssim).abs() <= CLOSE["ssim"]).any(axis=1)]
        candidates = largest if both.empty else both
        nearest = candidates.iloc[int((candidates["psnr"] - psnr).abs().argmin())]
        verdict = "no choice gives both; nearest in PSNR is" if both.empty else "both are given by"
        ssims = ", ".join(f"{nearest[name]:.4f} ({_protocol(name)})" for name in _ssims(frame))
        found.append(f"{source}: {pair['psnr']} dB / {pair['ssim']}; {verdict} '{nearest['choice']}' with "
                     f"{nearest['psnr']:.2f} dB and an SSIM of {ssims} on {nearest['pictures']} pictures.")
    return [*found, "A choice that lands near a printed number is a possible cause of it, no proof."]


def _ssims(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame.columns if name.split()[0] == "ssim"]


def _protocol(column: str) -> str:
    return column.partition(" ")[2] or "aecr"


def _printed() -> dict[str, dict[str, str]]:
    """By source and metric."""
    found: dict[str, dict[str, str]] = {}
    for number in printed_numbers(["dcp"], REAL):
        found.setdefault(number.source, {})[number.metric] = number.printed
    return found
