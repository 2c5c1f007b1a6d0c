"""Measuring a system: one row a configuration, kept in a file that says which version and machine it is of."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

import reprolib
from reprolib import models
from reprolib.bench.case import MODES, PICTURE, Case, Way, random_batch
from reprolib.bench.cost import Spread, ceilings
from reprolib.bench.measure import Process, interleaved, ratios
from reprolib.bench.targets import verdicts
from reprolib.bench.work import convolution_rate, work_of
from reprolib.files import write_text
from reprolib.runs.environment import environment

FOLDER = Path("results/bench")


def bench(case: Case, repeats: int = 20, against: Collection[str] = tuple(MODES)) -> dict[str, Any]:
    """Measure one configuration.

    Args:
        against: ways of `MODES` to measure besides ours and the plain one.
        repeats: turns; in each, every way takes one step.

    Returns:
        Times in seconds, memory in bytes: peaks of processes. `speedup` is the median over turns of the plain way's
        time over ours, and `memory_ratio` our peak over the plain one's, `growth_ratio` without what libraries and
        weights took before the first step. `references` says the same of every other way, or why it is absent, and
        `difference`, how far its first loss is from ours. `rate_cost`, for another rate than 1:1, is our time over our
        time at 1:1. Shares are of the ceilings that the device reached in the same run.

    Raises:
        UserError: see `open_way`.
    """
    with ExitStack() as stack:
        def start(changed: Case, mode: str) -> Process:
            process = Process(changed, mode)
            stack.callback(process.close)
            return process

        started = {mode: start(case, mode) for mode in MODES if mode in {"ours", "plain", *against}}
        ways = {mode: process for mode, process in started.items() if not process.opened.absent}
        runs = {mode: process.step for mode, process in ways.items()}
        if case.task == "train" and case.rate != "1:1":
            runs["one"] = start(replace(case, rate="1:1"), "ours").step
        seconds = interleaved(runs, repeats)
        memory = {mode: process.peak() for mode, process in ways.items()}
        counted = ways["ours"].ask(_count)
    ours = ways["ours"].opened
    references: dict[str, dict[str, Any]] = {}
    for mode, opened in ((mode, process.opened) for mode, process in started.items() if mode != "ours"):
        if opened.absent:
            references[mode] = {"absent": opened.absent}
            continue
        its, speedup = Spread.of(seconds[mode]), ratios(seconds[mode], seconds["ours"])
        mine, peak = memory["ours"], memory[mode]
        references[mode] = {
            "reference_seconds": its.median, "reference_quartiles": [its.low, its.high],
            "speedup": speedup.median, "speedup_quartiles": [speedup.low, speedup.high],
            "reference_memory": peak.whole, "memory_ratio": mine.whole / max(peak.whole, 1),
            "growth_ratio": mine.growth / max(peak.growth, 1),
            "first_step_seconds": opened.first_seconds, "difference": abs(opened.value / ours.value - 1)}
    work, top, place = counted["work"], counted["ceilings"], counted["environment"]
    step, plain = Spread.of(seconds["ours"]), references["plain"]
    peak_rate = top["fp32_flops" if case.precision == "32-true" else "bf16_flops"]
    row = {
        "system": case.system, "task": case.task, "device": _machine(place), "device_type": counted["device_type"],
        "precision": case.precision, "layout": ours.layout, "batch": case.batch,
        "crop": case.crop, "picture": list(PICTURE) if case.task == "evaluate" else None,
        "network": dict(case.network), "rate": case.rate, "repeats": repeats,
        "step_seconds": step.median, "step_quartiles": [step.low, step.high],
        "peak_memory": memory["ours"].whole, "memory_growth": memory["ours"].growth, "memory_kind": memory["ours"].kind,
        **{key: value for key, value in plain.items() if key not in ("first_step_seconds", "difference")},
        "references": references, "macs": work.macs, "bytes": work.bytes,
        "share_of_ceiling": 2 * work.macs / step.median / peak_rate,
        "share_of_copy_ceiling": work.bytes / step.median / top["copy_bytes"],
        "speedup_at_ceiling": plain["reference_seconds"] * peak_rate / (2 * work.macs),
        "convolution_share": counted["convolutions"] / peak_rate if case.task == "train" else None,
        "rate_cost": ratios(seconds["ours"], seconds["one"]).median if "one" in seconds else None,
        "load": round(os.getloadavg()[1], 1), "ceilings": top, "date": datetime.now(UTC).date().isoformat(),
        "version": reprolib.__version__, "torch": place["torch"], "environment": place,
    }
    return row | {"targets": verdicts(row)}


def _count(case: Case, way: Way) -> dict[str, Any]:
    """What is known where our way is: its work, and what its device is and reaches."""
    return {"work": work_of(way.run), "ceilings": ceilings(way.device), "environment": environment(str(way.device)),
            "device_type": way.device.type,
            "convolutions": _convolutions(case, way) if case.task == "train" else None}


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
