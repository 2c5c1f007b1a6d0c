"""The command line: parse, call, print. Heavy imports happen inside the commands, so that --help is quick."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reprolib.commands.console import Jobs, Json, Profile, network_options, show
from reprolib.data import commands as data_commands
from reprolib.errors import UserError
from reprolib.report import commands as report_commands

if TYPE_CHECKING:
    from reprolib.application import Outcome

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Reference reproduction of AECR-Net and CUT: data, training, evaluation, tables, ledger.")
app.add_typer(data_commands.app, name="data")
app.add_typer(report_commands.app, name="report")

Targets = Annotated[list[str], typer.Argument(
    metavar="TARGET...", help="Experiments of the profile, or systems: --dataset, or all in the profile.")]


@app.command()
def systems(as_json: Json = False) -> None:
    """List the systems with their exact parameter counts beside the paper's."""
    from reprolib import models
    rows = []
    for system in map(models.get, models.names()):
        parts = models.count_parts(system.name)
        rows.append({"name": system.name, "task": system.task, "params": next(iter(parts.values())), "parts": parts,
                     "paper_params": system.paper_params, "source": system.source, "label": system.label,
                     "count_note": system.count_note})
    show(rows, as_json, ("name", "task", "params", "paper_params", "source"))


@app.command()
def train(
    targets: Targets,
    dataset: Annotated[str | None, typer.Option(help="Dataset to train on.")] = None,
    profile: Profile = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset, instead of the registered one.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on where a killed run stopped.")] = False,
    steps: Annotated[int | None, typer.Option(help="Optimisation steps, instead of the profile's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Batch size, instead of the profile's.")] = None,
    crop: Annotated[int | None, typer.Option(help="Crop in pixels, instead of the profile's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true or bf16-mixed.")] = None,
    recipe: Annotated[str | None, typer.Option(help="common (the profile's) or published (the authors').")] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes that load batches.")] = 0,
    jobs: Jobs = None,
) -> None:
    """Train experiments; killed at any moment, --resume goes on to the same result.

    Under `torchrun -m reprolib train ...` several processes share each batch.
    """
    from reprolib import distributed, models
    from reprolib.runs.code import preload, training_entries
    from reprolib.runs.experiment import active_profile, select
    from reprolib.runs.concurrent import side_by_side
    from reprolib.training.run import forget
    from reprolib.training.run import train as run

    chosen = select(profile or active_profile(), targets, dataset, seed=seed, steps=steps, batch=batch, crop=crop,
                    learning_rate=learning_rate, precision=precision, recipe=recipe)
    preload(name for e in chosen for name in training_entries(e))
    work = partial(run, resume=resume, data_root=root, accelerator=accelerator, workers=workers, keep_state=True)
    for e, at in zip(chosen, side_by_side(work, chosen, jobs, accelerator, dataset is None), strict=True):
        if distributed.rank() == 0:
            score = f"{at.best:.2f} dB" if models.get(e.system).task == "dehazing" else f"distance {-at.best:.2f}"
            print(f"{e.id}: best validation {score} at step {at.best_step} of {at.step}; {e.folder()}")
        forget(e)


@app.command("train-segmenter")
def train_segmenter(
    dataset: Annotated[str, typer.Argument(help="Dataset of label maps and photos.")],
    profile: Profile = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset, instead of the registered one.")] = None,
    imagenet: Annotated[Path | None, typer.Option(help="The released ImageNet classifier to start from.")] = None,
) -> None:
    """Train the segmenter that judges label-to-photo translation; goes on where a killed run stopped."""
    from reprolib.runs.code import preload
    from reprolib.runs.experiment import active_profile

    preload(["reprolib.training.segmentation"])
    from reprolib.training.segmentation import train_segmenter as run

    at = run(dataset, profile or active_profile(), resume=True, data_root=root, imagenet=imagenet)
    print(f"segmenter-{dataset}: best validation mean IoU {at.best:.1f} % at step {at.best_step} of {at.step}")


@app.command()
def evaluate(
    targets: Targets,
    dataset: Annotated[str | None, typer.Option(help="Dataset to measure on.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset, instead of the registered one.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights: ours or the published checkpoint.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N pairs.")] = None,
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "test",
    protocol: Annotated[str, typer.Option(help="How PSNR and SSIM are computed.")] = "aecr",
    distance: Annotated[str, typer.Option(help="Translation: inception (FID) or vgg16 (works offline).")] = "vgg16",
    segmenter: Annotated[Path | None, typer.Option(help="Trained segmenter, for label-to-photo translation.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of the network, such as middle=3.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the pictures.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the scores of published weights as records.")] = False,
    profile: Profile = None,
    seed: Annotated[int, typer.Option(help="Seed of the experiment.")] = 0,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Measure a system on a dataset, or an experiment of the profile (which writes its records)."""
    from reprolib import models
    from reprolib.runs.experiment import active_profile, find, select

    if dataset is None:
        from reprolib.runs.code import evaluation_entries, preload
        from reprolib.evaluation.run import evaluate_experiment
        from reprolib.runs.concurrent import side_by_side

        chosen = select(profile or active_profile(), targets, seed=seed)
        preload(name for e in chosen for name in evaluation_entries(e))
        rows = [{"experiment": r.experiment, "metric": r.metric, "value": r.value, "input": r.input_value, "n": r.n}
                for records in side_by_side(evaluate_experiment, chosen, jobs, always=True)
                for r in records]
        show(rows, as_json, ("experiment", "metric", "value", "input", "n"))
        return
    target, *more = targets
    if more:
        raise UserError("one system at a time is measured on a given dataset", fix=f"leave out {', '.join(more)}")
    system = models.get(target)
    if keep and weights is None and system.trained:
        raise UserError("only scores of given weights are kept", fix="add --weights FILE, or leave --keep out")
    if weights is None and system.trained:
        from reprolib.evaluation.networks import CHECKPOINT

        weights = find(profile or active_profile(), target, dataset, seed=seed).folder() / CHECKPOINT
        if not weights.is_file():
            raise UserError(f"no trained {target} for {dataset}", where=weights,
                            fix=f"give --weights FILE, or run `reprolib train {target} --dataset {dataset}`")
    options = network_options(system, option or [])
    if system.task == "translation":
        if options:
            raise UserError("a translator's options stand in its weights file", fix="leave --option out")
        from reprolib.evaluation.translation import evaluate as measure

        result = measure(target, dataset, weights=weights, data_root=root, split=split, limit=limit, pictures=output,
                         distance=distance, segmenter=segmenter)
        show(result if as_json else [result], as_json, tuple(result))
        return
    from reprolib.evaluation.dehazing import evaluate as run

    result = run(target, dataset, weights=weights, data_root=root, split=split, limit=limit, protocol=protocol,
                 pictures=output, **options)
    if keep:
        from reprolib.evaluation.published import record

        record(result, weights if system.trained else None, root, limit)
    show(result if as_json else [result], as_json, ("system", "n", "psnr", "ssim", "hazy_psnr", "hazy_ssim"))


Source = Annotated[Path, typer.Argument(metavar="INPUT", help="A picture or a folder of pictures.")]
Output = Annotated[Path, typer.Argument(help="Where the picture, or the folder of pictures, goes.")]
Form = Annotated[str, typer.Option("--format", help="png, jpg, or keep (the input's own).")]
Subfolders = Annotated[bool, typer.Option("--subfolders", help="Pictures in subfolders too; their layout is kept.")]
Alpha = Annotated[bool, typer.Option("--alpha", help="Keep transparency.")]


@app.command()
def dehaze(
    source: Source,
    output: Output,
    system: Annotated[str, typer.Option(help="System name.")] = "aecrnet",
    weights: Annotated[Path | None, typer.Option(help="Weights; by default the profile's trained ones.")] = None,
    profile: Profile = None,
    form: Form = "png",
    subfolders: Subfolders = False,
    alpha: Alpha = False,
) -> None:
    """Dehaze a picture or a folder."""
    from reprolib.commands.apply import apply

    _tell(apply(source, output, "dehazing", system, weights, profile, form=form, subfolders=subfolders, alpha=alpha),
          output)


@app.command()
def translate(
    source: Source,
    output: Output,
    system: Annotated[str, typer.Option(help="System name.")] = "cut",
    weights: Annotated[Path | None, typer.Option(help="Weights, ours or published.")] = None,
    profile: Profile = None,
    form: Form = "png",
    subfolders: Subfolders = False,
    alpha: Alpha = False,
) -> None:
    """Translate a picture or a folder from the source to the target domain."""
    from reprolib.commands.apply import apply

    _tell(apply(source, output, "translation", system, weights, profile, form=form, subfolders=subfolders,
                alpha=alpha), output)


def _tell(outcome: Outcome, output: Path) -> None:
    """What was written, one line a failure, and exit code 1 if there is any."""
    for note in outcome.notes:
        print(f"note: {note}", file=sys.stderr)
    for failure in outcome.failures:
        print(f"reprolib: {' '.join(str(failure).split())}", file=sys.stderr)
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    print(f"{outcome.written} {'picture' if outcome.written == 1 else 'pictures'} written to {output}{failed}")
    if outcome.failures:
        raise typer.Exit(1)


@app.command()
def ledger(profile: Profile = None, as_json: Json = False) -> None:
    """Every cell of the papers' tables: status, paper, ours, why."""
    from reprolib.runs.experiment import active_profile
    from reprolib.report.stages import build_ledger

    entries = build_ledger(profile or active_profile())
    show(entries, as_json, ("table", "row", "dataset", "metric", "paper_value", "value", "spread", "status"))


@app.command()
def bench(
    system: Annotated[str, typer.Argument(help="A dehazer, cut or fastcut.")],
    task: Annotated[str, typer.Option(help="train: an optimisation step; evaluate: a whole picture.")] = "train",
    precision: Annotated[list[str] | None, typer.Option(
        help="32-true or bf16-mixed, or give both; by default what the device has.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures of a batch; by default what the device's target says.")]
    = None,
    crop: Annotated[int | None, typer.Option(help="Side of the pictures; by default what the target says.")] = None,
    width: Annotated[int | None, typer.Option(help="Channels of the first layer; by default the paper's.")] = None,
    rate: Annotated[str, typer.Option(help="positives:negatives of the contrastive term of a dehazer.")] = "1:1",
    repeats: Annotated[int, typer.Option(help="Turns that are timed.")] = 20,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Json = False,
) -> None:
    """Time a step beside the plain way of taking it, in one run; keeps results/bench/*.json."""
    from reprolib.bench.case import cases
    from reprolib.bench.run import bench as run
    from reprolib.bench.run import keep

    chosen = cases(system, task, precision, batch, crop, width, rate, accelerator)
    rows = [run(case, repeats) for case in chosen]
    paths = keep(rows)
    show(rows, as_json, ("system", "task", "precision", "step_seconds", "reference_seconds", "speedup",
                          "memory_ratio", "share_of_ceiling"))
    if not as_json:
        for verdict in (v for row in rows for v in row["targets"]):
            outcome = "met" if verdict["met"] else f"missed by {verdict['missed_by']:.0%}: {verdict['bound']}"
            print(f"{verdict['measure']} {verdict['value']:.2f}, target {verdict['target']}: {outcome}")
        print(f"written to {', '.join(map(str, paths))}")


@app.command()
def check(profile: Profile = None) -> None:
    """The regression gate: exit 1 if any number is missing, not finite or outside its recorded tolerance."""
    from reprolib.runs.experiment import active_profile
    from reprolib.results import gate

    outcomes = gate.check(profile or active_profile())
    for outcome in outcomes:
        print(f"{'ok  ' if outcome.ok else 'FAIL'} {outcome.id}: {outcome.why}")
    failed = sum(not o.ok for o in outcomes)
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    if failed or not outcomes:
        raise typer.Exit(1)


@app.command()
def calibrate(
    profile: Profile = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, 0 included.")] = 3,
    jobs: Jobs = None,
) -> None:
    """Train and measure the profile with several seeds and record the expected results and their tolerances."""
    from reprolib.results.calibration import calibrate as run
    from reprolib.runs.experiment import active_profile

    print(run(profile or active_profile(), seeds, jobs))


@app.command()
def profile(name: Annotated[str | None, typer.Argument(help="Profile to switch to.")] = None) -> None:
    """Show the profiles, or switch the pipeline to one (writes params.yaml and every dvc.yaml)."""
    from reprolib.runs.experiment import active_profile, profiles
    from reprolib.pipeline import switch

    if name:
        switch(name)
    active = active_profile()
    print("\n".join(f"{'*' if p == active else ' '} {p}" for p in profiles()))


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed for what is allocated next (mallopt(3)).

    A training step frees and allocates the same large tensors again and again. By default each goes back to the
    system, and touching its pages anew costs more than the arithmetic: steps were 2 to 3 times slower on a virtual
    machine. Read by malloc in every process that this one forks, too.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_threshold, most = -1, -3, 2**31 - 1
        mallopt(trim_threshold, most)
        mallopt(mmap_threshold, most)


def main() -> None:
    """Entry point: a UserError is one line on stderr and exit code 2."""
    # How long GNU OpenMP's threads spin before they sleep. Its default never sleeps soon enough: with one other busy
    # process on two cores, a training step of small layers takes 25 times longer. Sleeping at once costs a factor of 2
    # on an idle machine; this bound costs neither. Read when torch is loaded, so it must be set before.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    # NumPy's own threads would compete with torch's, for matrices that are small.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _keep_freed_memory()
    # What torchrun says; torch itself is not asked, since --help need not wait for it to load.
    started = os.environ if "TORCHELASTIC_RUN_ID" in os.environ else {}
    processes, number = int(started.get("WORLD_SIZE", 1)), int(started.get("RANK", 0))
    try:
        if processes > 1 and sys.argv[1:2] != ["train"]:
            raise UserError("only `train` runs in several processes", fix="start it without torchrun")
        app()
    except UserError as error:
        who = f"reprolib, process {number}" if number else "reprolib"
        print(f"{who}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("reprolib: stopped; `--resume` goes on from the last saved state", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
