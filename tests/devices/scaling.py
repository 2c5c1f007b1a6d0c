"""One run shared by gloo processes on this machine's cores: `python tests/devices/scaling.py [STEPS] [FILE]`.

For 1, 2 and 4 processes of a thread each: seconds of a step, what was sent in it, and whether the losses are those of
one process. They take turns, a few times, so that a machine's drift meets all alike. `simulation` beside this file
goes on from FILE; docs/scaling.md says what for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from devices.stand_ins import kinds, open_task, untrained_extractors
from devices.traffic import counted, traffic_of

from reprolib import distributed
from reprolib.training.fabric import open_fabric

TURNS = 3
WARMUP = 2
"""Steps that are taken, and not timed."""
RUNS = {"AECR-Net + CR": ("aecrnet-sots", 8, 64), "CUT": ("cut-cityscapes", 4, 64)}
"""A run of `paper`, with mini's networks; its batch and crop."""
SHARES = ((1, 1), (2, 1), (4, 1), (1, 2), (1, 4))
"""Processes, and the part of the batch that they share: smaller ones tell what a step costs beside its pictures."""


def process(name: str, steps: int, part: int) -> dict[str, Any] | None:
    """Train as one of the processes of torchrun, on random pictures; the first of them says how it went."""
    key, batch, crop = RUNS[name]
    run = kinds()[key].changed(batch=batch // part, crop=crop)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    fabric = open_fabric(run, "cpu")
    with untrained_extractors():
        task = open_task(run, fabric)
    distributed.share_weights({**task.networks, **task.extras})
    seconds, losses = [], []
    for step in range(WARMUP + steps):
        generator = torch.Generator().manual_seed(step)
        pictures = torch.rand(2, run.batch, 3, run.crop, run.crop, generator=generator)
        first, second = pictures[:, distributed.rows(run.batch)]
        begun = time.perf_counter()
        with counted() as traffic:
            terms = task.step(fabric, (first, second), step, generator)
        seconds.append(time.perf_counter() - begun)
        losses.append(distributed.mean_terms({"loss": terms["loss"]})["loss"].item())
    numbers = sum(p.numel() for network in task.networks.values() for p in network.parameters())
    gradients = torch.zeros(numbers)
    sums = []
    for _ in range(10 if distributed.count() > 1 else 0):
        begun = time.perf_counter()
        torch.distributed.all_reduce(gradients)
        sums.append(time.perf_counter() - begun)
    if distributed.rank():
        return None
    return {"seconds": seconds[WARMUP:], "losses": losses, "traffic": asdict(traffic), "gradients": 4 * numbers,
            "sum_seconds": sums}


def launch(name: str, steps: int, processes: int, part: int) -> dict[str, Any]:
    """`process` in so many processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
               __file__, str(steps), name, str(part)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True,
                          check=True)
    found: dict[str, Any] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return found


def measure(name: str, steps: int) -> list[dict[str, Any]]:
    """One row for each of `SHARES`; times of all turns together, the median of which is `step`."""
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for turn in range(TURNS):
        for processes, part in SHARES[:: -1 if turn % 2 else 1]:
            new = launch(name, steps, processes, part)
            row = found.setdefault((processes, part), {**new, "seconds": [], "sum_seconds": []})
            row["seconds"] += new["seconds"]
            row["sum_seconds"] += new["sum_seconds"]
    return [{**found[share], "processes": share[0], "batch": RUNS[name][1] // share[1],
             "step": median(found[share]["seconds"])} for share in SHARES]


def main(steps: int = 8, file: Path | None = None) -> None:
    everything = {}
    for name in RUNS:
        rows = everything[name] = measure(name, steps)
        print(f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}")
        for row in rows:
            cores = min(row["processes"], os.cpu_count() or 1)
            said = f"W={row['processes']} batch={row['batch']}: {row['step']:.3f} s"
            if row["processes"] > 1:
                gap = max(abs(a - b) / abs(b) for a, b in zip(row["losses"], rows[0]["losses"], strict=True))
                key, batch, crop = RUNS[name]
                assert row["traffic"] == asdict(traffic_of(kinds()[key].changed(batch=batch, crop=crop),
                                                           row["processes"])), "counted is not what was sent"
                said += f", efficiency {rows[0]['step'] / cores / row['step']:.0%}, {row['traffic']}, losses to " \
                        f"{gap:.0e}, a sum of {row['gradients']:,} bytes {median(row['sum_seconds']):.4f} s"
            print(said, flush=True)
    if file:
        file.write_text(json.dumps(everything) + "\n")


if __name__ == "__main__":
    if "TORCHELASTIC_RUN_ID" in os.environ:
        if said := process(sys.argv[2], int(sys.argv[1]), int(sys.argv[3])):
            print(json.dumps(said), flush=True)
    else:
        main(*map(int, sys.argv[1:2]), *map(Path, sys.argv[2:3]))
