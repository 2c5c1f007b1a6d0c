"""The processes of a run: one, or as many as `torchrun` has started."""

from __future__ import annotations

import logging
import os
import warnings
from datetime import timedelta

from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from reprolib import distributed
from reprolib.errors import UserError
from reprolib.progress import report_to
from reprolib.runs.run import Run
from reprolib.runtime import tune_gpu

PATIENCE = timedelta(hours=1)
"""How long a process waits for the others: validation by process 0 has to fit. torchrun ends all of them once one has
failed; this is for one that hangs."""


class Processes(DDPStrategy):
    """DDP's devices and process group without its wrapper (`reprolib.distributed` says why)."""

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        return module


def open_fabric(run: Run, accelerator: str = "auto") -> Fabric:
    """Fabric on one device, or connected with the other processes of torchrun, one device each.

    Raises:
        UserError: no such device, or too few; unequal nodes; or a batch that the processes cannot share.
    """
    world, precision = distributed.launched(), run.precision
    # Lightning's advice wherever Slurm is installed; `reprolib submit` is this project's way to it.
    warnings.filterwarnings("ignore", "The `srun` command is available")
    if world == 1:
        try:
            return _tuned(Fabric(accelerator=accelerator, devices=1, precision=precision))
        except (MisconfigurationException, ValueError, RuntimeError) as error:
            raise UserError(f"no accelerator '{accelerator}' here: {' '.join(str(error).split())}",
                            where="--accelerator", fix="use auto or cpu") from error
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    if world % here:
        raise UserError(f"{here} of {world} processes on this node, another number on others",
                        fix="give --nproc-per-node the same number on all nodes")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would say that it is there
    strategy = Processes(timeout=PATIENCE)
    try:
        fabric = Fabric(accelerator=accelerator, devices=here, num_nodes=world // here, strategy=strategy,
                        precision=precision)
    except MisconfigurationException as error:
        raise UserError(f"{here} processes want a device each: {' '.join(str(error).split())}",
                        fix="lower --nproc-per-node, or add --accelerator cpu") from error
    fabric.launch()
    if distributed.rank():
        report_to(lambda *_: None)
    distributed.rows(run.batch)
    return _tuned(fabric)


def _tuned(fabric: Fabric) -> Fabric:
    if fabric.device.type == "cuda":
        tune_gpu()
    return fabric
