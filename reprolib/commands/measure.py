"""`reprolib measure`, `evaluate`, `score`: from pictures to numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reprolib.commands.shared import (
    MINI,
    Jobs,
    Json,
    Limit,
    Profile,
    Root,
    network_options,
    print_json,
    print_scores,
    show,
)
from reprolib.errors import UserError

app = typer.Typer()


@app.command()
def measure(
    targets: Annotated[list[str], typer.Argument(metavar="RUN|SYSTEM...", help="Runs of the profile, or systems.")],
    dataset: Annotated[str | None, typer.Option(help="Of a system's run that was trained on it.")] = None,
    profile: Profile = MINI,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the run.")] = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Measure the checkpoints of runs on their test pictures; writes their records."""
    from reprolib.evaluation.run import measure_run
    from reprolib.runs.concurrent import side_by_side
    from reprolib.runs.digests import measuring_entries
    from reprolib.runs.profile import select
    from reprolib.runtime import preload

    chosen = select(profile, targets, dataset, seed=seed)
    preload(name for run in chosen for name in measuring_entries(run))
    rows = [{"run": r.experiment, "metric": r.metric, "value": r.value, "input": r.input_value, "n": r.n}
            for records in side_by_side(measure_run, chosen, jobs, always=True) for r in records]
    show(rows, as_json, ("run", "metric", "value", "input", "n"))


@app.command()
def evaluate(
    system: Annotated[str, typer.Argument(help="One system.")],
    dataset: Annotated[str, typer.Option(help="Dataset to measure on.")],
    root: Root = None,
    weights: Annotated[Path | None, typer.Option(help="Ours or the published ones; by default the profile's.")] = None,
    limit: Limit = None,
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "test",
    protocol: Annotated[str | None, typer.Option(help="Dehazing: how PSNR and SSIM are computed.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Metrics, by default all that fit; once for each.")] = None,
    distance: Annotated[str | None, typer.Option(help="Translation: vgg16, or inception for FID.")] = None,
    segmenter: Annotated[Path | None, typer.Option(help="Translation: weights of a trained segmenter.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of the network, such as middle=3.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the pictures.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the scores of published weights as records.")] = False,
    profile: Profile = MINI,
    as_json: Json = False,
) -> None:
    """Measure a system with given weights, ours or its authors', on a dataset or a part of it."""
    from reprolib import models
    from reprolib.evaluation.apply import trained
    from reprolib.evaluation.evaluate import evaluate as run
    from reprolib.evaluation.published import record

    spec = models.get(system)
    if keep and weights is None and spec.trained:
        raise UserError("only scores of given weights are kept", fix="add --weights FILE, or leave --keep out")
    used = weights or (trained(system, profile, dataset) if spec.trained else None)
    result = run(system, dataset, weights=used, root=root, split=split, limit=limit, protocol=protocol, metrics=metric,
                 distance=distance, segmenter=segmenter, pictures=output, network=network_options(system, option or []))
    if keep:
        record(result, used, root, limit)
    if as_json:
        print_json(result.as_json())
    else:
        print_scores(result.as_json())


@app.command()
def score(
    outputs: Annotated[Path, typer.Argument(help="Folder of restored pictures.")],
    truth: Annotated[Path, typer.Argument(help="Folder of clear ones, of the same names.")],
    metric: Annotated[list[str] | None, typer.Option(help="Metrics of pictures, by default all.")] = None,
    as_json: Json = False,
) -> None:
    """Score anybody's pictures against their truths, under every protocol."""
    from reprolib.evaluation.score import score as run

    result = run(outputs, truth, metric).as_json()
    if as_json:
        print_json(result)
        return
    rows = result["protocols"]
    assert isinstance(rows, list)
    show(rows, False, [key for key in rows[0] if key != "reasons"])
