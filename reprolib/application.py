"""`reprolib dehaze`: a trained network, or a prior, on anybody's pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reprolib import models
from reprolib.data.images import list_images, read_rgb, write_png
from reprolib.errors import UserError
from reprolib.evaluation import load_network
from reprolib.experiment import active_profile, experiments
from reprolib.inference import restore, to_uint8
from reprolib.progress import track
from reprolib.training.dehazing import folder


def dehaze_files(source: Path, output: Path, system_name: str, weights: Path | None, profile: str | None) -> int:
    """Dehaze a picture into a PNG, or a folder of pictures into a folder of PNGs.

    Returns:
        How many were written.

    Raises:
        UserError: no such input, not a dehazer, or no weights.
    """
    system = models.get(system_name)
    if system.task != "dehazing":
        raise UserError(f"'{system_name}' does not dehaze", fix=f"choose from {', '.join(models.names('dehazing'))}")
    options: dict[str, Any] = {}
    if weights is None and system.trained:
        weights, options = _trained(system_name, profile or active_profile())
    network = load_network(system, weights, **options)
    single = not source.is_dir()
    if single and output.suffix.lower() != ".png" and not output.is_dir():
        raise UserError("the output of one picture is a PNG", where=output, fix="give a name that ends in .png")
    pictures = [source] if single else list_images(source)
    for path in track(pictures, f"dehazing with {system_name}"):
        target = output if single and not output.is_dir() else output / f"{path.stem}.png"
        if target.resolve() == path.resolve():
            raise UserError("the output would replace the input", where=path, fix="choose another folder")
        write_png(target, to_uint8(restore(network, read_rgb(path), system.multiple)))
    return len(pictures)


def _trained(name: str, profile: str) -> tuple[Path, dict[str, Any]]:
    """The first checkpoint of the profile for a system, and the network's options."""
    for experiment in experiments(profile).values():
        path = folder(experiment) / "best.safetensors"
        if experiment.system == name and path.is_file():
            return path, dict(experiment.network)
    raise UserError(f"no trained {name} in profile '{profile}'", where=f"checkpoints/{profile}",
                    fix="give --weights FILE, or run `dvc repro`")
