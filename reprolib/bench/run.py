"""Measuring a system: one row a configuration, kept in a file that says which version and machine it is of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

import reprolib
from reprolib import models
from reprolib.bench.case import PICTURE, Case, Way, open_way, random_batch
from reprolib.bench.cost import Spread, ceilings
from reprolib.bench.measure import interleaved, peak_memory, ratios
from reprolib.bench.targets import verdicts
from reprolib.bench.work import convolution_rate, work_of
from reprolib.files import write_text
from reprolib.runs.environment import environment

FOLDER = Path("results/bench")


def bench(case: Case, repeats: int = 20) -> dict[str, Any]:
    """Measure one configuration.

    Args:
        repeats: turns; in each, every way takes one step.

    Returns:
        Times in seconds, memory in bytes. `speedup` is the median over turns of the plain way's time over ours, and
        `memory_ratio` ours over the plain one's. `rate_cost`, for another rate than 1:1, is our time over our time at
        1:1. Shares are of the ceilings that the device reached in the same run.

    Raises:
        UserError: see `open_way`.
    """
    ways = {mode: open_way(case, mode) for mode in ("ours", "reference")}
    ours, device = ways["ours"], ways["ours"].device
    runs: dict[str, Callable[[], object]] = {name: way.run for name, way in ways.items()}
    if case.task == "train" and case.rate != "1:1":
        runs["one"] = open_way(replace(case, rate="1:1"), "ours").run
    seconds = interleaved(runs, device, repeats)
    memory = {mode: peak_memory(case, mode) for mode in ways}
    step, plain = Spread.of(seconds["ours"]), Spread.of(seconds["reference"])
    speedup = ratios(seconds["reference"], seconds["ours"])
    top = ceilings(device)
    peak_rate = top["fp32_flops" if case.precision == "32-true" else "bf16_flops"]
    work = work_of(ours.run)
    place = environment(str(device))
    row = {
        "system": case.system, "task": case.task, "device": _machine(place), "device_type": device.type,
        "precision": case.precision, "layout": ours.layout, "batch": case.batch,
        "crop": case.crop, "picture": list(PICTURE) if case.task == "evaluate" else None,
        "network": dict(case.network), "rate": case.rate, "repeats": repeats,
        "step_seconds": step.median, "step_quartiles": [step.low, step.high],
        "reference_seconds": plain.median, "reference_quartiles": [plain.low, plain.high],
        "speedup": speedup.median, "speedup_quartiles": [speedup.low, speedup.high],
        "peak_memory": memory["ours"][0], "reference_memory": memory["reference"][0],
        "memory_ratio": memory["ours"][0] / max(memory["reference"][0], 1), "memory_kind": memory["ours"][1],
        "macs": work.macs, "bytes": work.bytes,
        "share_of_ceiling": 2 * work.macs / step.median / peak_rate,
        "share_of_copy_ceiling": work.bytes / step.median / top["copy_bytes"],
        "speedup_at_ceiling": plain.median * peak_rate / (2 * work.macs),
        "convolution_share": _convolutions(case, ours) / peak_rate if case.task == "train" else None,
        "rate_cost": ratios(seconds["ours"], seconds["one"]).median if "one" in seconds else None,
        "ceilings": top, "date": datetime.now(UTC).date().isoformat(), "version": reprolib.__version__,
        "torch": place["torch"], "environment": place,
    }
    return row | {"targets": verdicts(row)}


def _convolutions(case: Case, way: Way) -> float:
    """Operations a second of the network's own convolutions, without extractors and discriminators."""
    first, second = random_batch(case, way.device)
    part = way.network if models.get(case.system).task == "dehazing" else way.network.get_submodule("generator")
    if way.layout == "channels_last":
        first = first.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast(way.device.type, torch.bfloat16, enabled=case.precision != "32-true"):
            loss = F.l1_loss(part(first).float(), second)
        loss.backward()

    part.train()
    step()
    return convolution_rate(step, way.device)


def keep(rows: list[dict[str, Any]], root: Path = Path()) -> list[Path]:
    """Write rows into `results/bench`; a row takes the place of an older one of the same configuration."""
    written = []
    for row in rows:
        path = root / FOLDER / f"{file_name(row)}.json"
        before = json.loads(path.read_text()) if path.is_file() else []
        kept = [old for old in before if _configuration(old) != _configuration(row)]
        write_text(path, json.dumps([*kept, row], indent=1, sort_keys=True) + "\n")
        written.append(path)
    return sorted(set(written))


def read(root: Path = Path()) -> list[dict[str, Any]]:
    """All kept rows; what translators cost (`reprolib.bench.translators`) is kept beside them."""
    files = (path for path in sorted((root / FOLDER).glob("*.json")) if not path.name.startswith("translators_"))
    return [row for path in files for row in json.loads(path.read_text())]


def file_name(row: dict[str, Any]) -> str:
    """System, version, machine, precision and layout."""
    return "_".join(_slug(row[key]) for key in ("system", "version", "device", "precision", "layout"))


def _configuration(row: dict[str, Any]) -> str:
    keys = [name for name in asdict(Case("")) if name != "accelerator"]
    return json.dumps([row[key] for key in keys], sort_keys=True)


def _machine(place: dict[str, str]) -> str:
    return place["device"] if place["device"] != "cpu" else f"{place['cpu']}, {place['threads']} threads"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")
