"""Where the files of a run and of a profile lie.

A profile's own folder is profiles/NAME; what its pipeline makes lies in checkpoints/NAME, outputs/NAME and
results/NAME, in a folder a system. A run that is not the pipeline's own keeps everything in runs/NAME/ID, as does the
unfinished state of any run: DVC knows nothing of that folder and never deletes from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reprolib.runs.run import Run


@dataclass(frozen=True)
class Places:
    """The files of one run, below `root`."""

    run: Run
    root: Path = Path()

    @property
    def work(self) -> Path:
        """What DVC does not track: the state, and what the run cost."""
        return self.root / "runs" / self.run.profile / self.run.id

    @property
    def state(self) -> Path:
        """Everything that an unfinished run needs to go on."""
        return self.work / "state.pt"

    @property
    def cost(self) -> Path:
        """Seconds and memory of the training."""
        return self.work / "cost.json"

    @property
    def events(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.work / "events"

    @property
    def checkpoint(self) -> Path:
        """Folder of last.safetensors, best.safetensors and log.csv."""
        return self._made("checkpoints", self.run.trained_as) if self.run.own else self.work / "checkpoint"

    @property
    def weights(self) -> Path:
        """The weights that fill the tables."""
        return self.checkpoint / "last.safetensors"

    @property
    def pictures(self) -> Path:
        """Folder of the restored or translated test pictures."""
        return self._made("outputs", self.run.id) if self.run.own else self.work / "pictures"

    @property
    def records(self) -> Path:
        """The measured numbers."""
        if not self.run.own:
            return self.work / "records.json"
        return records_folder(self.run.profile, self.root) / self.run.system / f"{self.run.id}.json"

    @property
    def images(self) -> Path:
        """The measured numbers picture by picture."""
        if not self.run.own:
            return self.work / "images.csv"
        return results_folder(self.run.profile, self.root) / "images" / self.run.system / f"{self.run.id}.csv"

    @property
    def reverse(self) -> Path:
        """Folder of the records and pictures from B to A, which belong to no table."""
        return self.work / "ba"

    def _made(self, folder: str, name: str) -> Path:
        return self.root / folder / self.run.profile / self.run.system / name


def results_folder(profile: str, root: Path = Path()) -> Path:
    """Records, ledger, tables, figures and notebooks of a profile."""
    return root / "results" / profile


def make(profile: str, *names: str, root: Path = Path()) -> None:
    """Folders below a profile's results: a stage of the pipeline makes its outputs even if there is nothing in them."""
    for name in names:
        (results_folder(profile, root) / name).mkdir(parents=True, exist_ok=True)


def records_folder(profile: str, root: Path = Path()) -> Path:
    """Folders of records, one a system."""
    return results_folder(profile, root) / "records"


def profile_folder(profile: str, root: Path = Path()) -> Path:
    """What describes a profile: params.yaml, dvc.yaml, dvc.lock, inputs.json, expected.json."""
    return root / "profiles" / profile


def translator_costs(profile: str, root: Path = Path()) -> Path:
    """What a step of a profile's translators costs, measured by hand (`reprolib.bench.translators`)."""
    return root / "results" / "bench" / f"translators_{profile}.json"
