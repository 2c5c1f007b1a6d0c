"""What the processes of one full-size run send each other in a step: `python tests/devices/traffic.py`.

The step of the first of W processes is taken on the meta device, and collectives are counted instead of sent, so that
no machine has to have W devices. docs/scaling.md has the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from devices.stand_ins import (
    STEPS,
    Device,
    batch_of,
    kinds,
    meta_without_autocast,
    open_task,
    untrained_extractors,
)
from torch import Tensor

from reprolib import distributed


@dataclass
class Traffic:
    """Collectives of a step, and bytes that each process puts into them."""

    sums: int = 0
    summed_bytes: int = 0
    gathers: int = 0
    gathered_bytes: int = 0


@contextmanager
def counted(processes: int | None = None) -> Iterator[Traffic]:
    """Of the processes that there are; or as the first of so many, and nothing is sent."""
    traffic = Traffic()
    real_sum, real_gather = torch.distributed.all_reduce, torch.distributed.all_gather

    def all_reduce(x: Tensor) -> None:
        traffic.sums += 1
        traffic.summed_bytes += x.numel() * x.element_size()
        if processes is None:
            real_sum(x)

    def all_gather(parts: list[Tensor], x: Tensor) -> None:
        traffic.gathers += 1
        traffic.gathered_bytes += x.numel() * x.element_size()
        if processes is None:
            real_gather(parts, x)

    with pytest.MonkeyPatch.context() as patch:
        if processes is not None:
            patch.setattr(distributed, "count", lambda: processes)
            patch.setattr(distributed, "rank", lambda: 0)
        patch.setattr(torch.distributed, "all_reduce", all_reduce)
        patch.setattr(torch.distributed, "all_gather", all_gather)
        yield traffic


def traffic_of(run: Any, processes: int) -> Traffic:
    """Of a step of a run; its batch is that of all processes."""
    device = Device("meta")
    with untrained_extractors(), meta_without_autocast(), counted(processes) as traffic:
        task = open_task(run, device)
        share = batch_of(run.changed(batch=run.batch // processes), device.device)
        task.step(device, share, STEPS - 1, torch.Generator().manual_seed(0))
    return traffic


def main() -> None:
    runs = kinds(reduced=False)
    aecrnet, cut = runs["aecrnet-sots"].changed(crop=240), runs["cut-cityscapes"].changed(crop=256)
    for rate in ("1:1", "1:10"):
        run = aecrnet.changed(contrast=replace(aecrnet.contrast, rate=rate))
        for processes, batch in ((8, 16), (64, 64)):
            print(f"AECR-Net {rate} W={processes} batch={batch}", traffic_of(run.changed(batch=batch), processes))
    for processes in (8, 64):
        print(f"CUT W={processes} batch={processes}", traffic_of(cut.changed(batch=processes), processes))


if __name__ == "__main__":
    main()
