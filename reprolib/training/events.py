"""What TensorBoard shows of a run: `reprolib train --log tensorboard`, then `tensorboard --logdir runs`.

The log says the same (log.csv beside the weights). Nothing reads these files again: they change no number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from reprolib.errors import UserError
from reprolib.progress import say

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Events:
    """Event files in one folder; those of an earlier sitting are replaced, since the log brings their rows again.

    Args:
        folder: a run's own; None writes nothing.
        log: rows of the steps before.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path | None, log: Iterable[Mapping[str, float]] = ()):
        self._writer: SummaryWriter | None = None
        if folder is None:
            return
        require()
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        try:
            for path in folder.glob("events.out.tfevents.*"):
                path.unlink(missing_ok=True)
            self._writer = SummaryWriter(str(folder), flush_secs=30)
        except OSError as error:
            self._give_up(error)
        for row in log:
            self.add(row)

    def add(self, row: Mapping[str, float]) -> None:
        """A row of the log: `step`, and values at it."""
        if self._writer is None:
            return
        try:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, int(row["step"]))
        except OSError as error:
            self._give_up(error)

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is still in memory."""
        if self._writer is None:
            return
        try:
            self._writer.close()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """A full disk ends the view, not the training."""
        self._writer = None
        say(f"no more events for TensorBoard in {self._folder}: {error.strerror or error}")


def require() -> None:
    """Know before the first step that events can be written.

    Raises:
        UserError: TensorBoard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise UserError("TensorBoard is not installed", where="--log tensorboard", fix="pip install tensorboard")
