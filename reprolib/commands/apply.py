"""`reprolib dehaze` and `reprolib translate`: a trained network, or a prior, on anybody's pictures."""

from __future__ import annotations

from pathlib import Path

from reprolib import models
from reprolib.data.images import list_images, read_rgb, write_png
from reprolib.errors import UserError
from reprolib.evaluation.networks import CHECKPOINT, device, load_network
from reprolib.runs.experiment import active_profile, experiments
from reprolib.models.inference import restore, to_uint8, translate
from reprolib.progress import track

RUN = {"dehazing": restore, "translation": translate}


def apply(source: Path, output: Path, task: str, name: str, weights: Path | None, profile: str | None = None) -> int:
    """Dehaze or translate a picture into a PNG, or a folder of pictures into a folder of PNGs, of any size.

    Args:
        task: 'dehazing' or 'translation'; a translator needs nothing of its target domain.
        name: the system.
        weights: ours or the published ones; None takes the profile's trained ones.

    Returns:
        How many were written.

    Raises:
        UserError: no such input, not a system of this task, or no weights.
    """
    system = models.get(name)
    if system.task != task:
        raise UserError(f"'{name}' is a system of {system.task}", fix=f"choose from {', '.join(models.names(task))}")
    if weights is None and system.trained:
        weights = trained(name, profile or active_profile())
    network = load_network(system, weights).to(device())
    single = not source.is_dir()
    if single and output.suffix.lower() != ".png" and not output.is_dir():
        raise UserError("the output of one picture is a PNG", where=output, fix="give a name that ends in .png")
    pictures = [source] if single else list_images(source)
    for path in track(pictures, f"{task} with {name}"):
        target = output if single and not output.is_dir() else output / f"{path.stem}.png"
        if target.resolve() == path.resolve():
            raise UserError("the output would replace the input", where=path, fix="choose another folder")
        write_png(target, to_uint8(RUN[task](network, read_rgb(path), system.multiple)))
    return len(pictures)


def trained(name: str, profile: str) -> Path:
    """The first checkpoint of the profile for a system.

    Raises:
        UserError: there is none.
    """
    for experiment in experiments(profile).values():
        path = experiment.folder() / CHECKPOINT
        if experiment.system == name and path.is_file():
            return path
    raise UserError(f"no trained {name} in profile '{profile}'", where=f"checkpoints/{profile}",
                    fix="give --weights FILE, or run `dvc repro`")
