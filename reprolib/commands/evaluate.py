"""`reprolib evaluate` and `reprolib score`: given weights, or given pictures, become scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reprolib.commands.caches import drop_damaged_features
from reprolib.commands.console import counted, print_result, strict, to_json
from reprolib.commands.options import Data, Direction, Json, Limit, Root, Weights, own_pictures, refuse, refuse_choice
from reprolib.errors import UserError

if TYPE_CHECKING:
    from reprolib.evaluation.result import Evaluation, FolderScores

WIDTH = 80
"""Columns of a terminal."""


def evaluate(
    target: Annotated[str, typer.Argument(metavar="SYSTEM", help="A system.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset to measure on.")] = None,
    root: Root = None,
    data: Data = None,
    weights: Weights = None,
    limit: Limit = None,
    split: Annotated[str | None, typer.Option(help="Split of the dataset; 'test', or all own pictures.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Dehazing: how PSNR and SSIM are computed.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Metric, once for each; by default all that fit.")] = None,
    distance: Annotated[Literal["vgg16", "inception"] | None, typer.Option(
        help="Translation: features of the distances; inception's is FID, vgg16 works offline.")] = None,
    direction: Direction = None,
    segmenter: Annotated[Path | None, typer.Option(
        exists=True, dir_okay=False, help="Trained segmenter, for label-to-photo translation.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of the network, such as middle=3.")] = None,
    output: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for the pictures.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the scores of published weights as records.")] = False,
    source: Annotated[str, typer.Option(help="Where kept weights are from: whose, which repository, commit.")] = "",
    profile: Annotated[str | None, typer.Option(help="Profile whose trained weights are taken: 'mini'.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a system on a dataset, or on a part of it, with the profile's weights or any others.

    The runs of a profile are measured, and recorded, by `reprolib measure`.
    """
    from reprolib import models
    from reprolib.data.registry import ALL, get_dataset
    from reprolib.evaluation.trained import trained

    drop_damaged_features()
    system = models.get(target)
    dataset = own_pictures(data, dataset, root)
    if dataset is None:
        raise UserError("no pictures given to measure on", fix="add --dataset NAME (`reprolib data list`), or --data")
    own = bool(get_dataset(dataset).own)
    split = split or (ALL if own else "test")
    refuse_choice(system, weights, profile=profile)
    if keep and system.trained and weights is None:
        raise UserError("only scores of given weights are kept", fix="add --weights FILE, or leave --keep out")
    if keep:
        refuse("kept scores, which are of a dataset", data=data)
        refuse("kept scores of a network at its published size", option=option)
        if system.task != "dehazing":
            raise UserError("only records of dehazers are kept", where=target, fix="leave --keep out")
    network = network_options(target, option or [])
    if weights is None and system.trained:
        weights = trained(target, profile, None if own else dataset)

    from reprolib.evaluation.evaluate import evaluate as run

    result = run(target, dataset, weights=weights, root=root, split=split, limit=limit, protocol=protocol,
                 metrics=metric or None, distance=distance, segmenter=segmenter, pictures=output, network=network,
                 direction=direction)
    if keep:
        from reprolib.evaluation.published import record

        record(result, weights if system.trained else None, root, limit, source=source)
    print_result(to_json(result.as_json()) if as_json else page(result),
                 keep=f"evaluate_{target}_{'own-pictures' if own else dataset}")


def score(
    outputs: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of restored pictures.")],
    truth: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of clear ones, equally named.")],
    as_json: Json = False,
) -> None:
    """Score anybody's pictures against their truths, under every protocol."""
    from reprolib.evaluation.score import score as run

    result = run(outputs, truth)
    print_result(to_json(result.as_json()) if as_json else page_of_folder(result), keep="score")


def network_options(name: str, texts: list[str]) -> dict[str, Any]:
    """Options of a system's network from KEY=VALUE texts, values as in YAML 1.2.

    Raises:
        UserError: a text of another form, an option that the network does not have, or a value that does not fit.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from reprolib import models
    from reprolib.runs.profile import checked

    found: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UserError(f"not an option: '{text}'", fix="write KEY=VALUE")
        try:
            found[key] = YAML(typ="safe", pure=True).load(value)
        except YAMLError as error:
            raise UserError(f"not a value: '{value}'", where=f"--option {key}", fix="write it as in YAML") from error
    options = checked(models.options_type(name), found, f"--option of {name}")
    return {key: getattr(options, key) for key in found}


def page(result: Evaluation) -> str:
    """One score a line, beside that of the unprocessed pictures."""
    how = [counted(result.n, "picture")]
    how += [f"protocol {result.protocol}"] if result.protocol else []
    how += [f"against {result.n_real:,} real"] if result.n_real is not None else []
    how += ["from B to A"] if result.direction == "ba" else []
    lines = [f"{result.system} on {result.dataset}, {result.split}: {', '.join(how)}", *_table(
        {name: (value, result.input_scores.get(name)) for name, value in result.scores.items()},
        ("", result.prefix.rstrip("_")))]
    for what, text in (("note", result.note), ("weights", result.weights),
                       ("one colour", ", ".join(result.collapsed))):
        if text:
            lines.append(fill(f"{what}: {text}", WIDTH, subsequent_indent="  ", break_on_hyphens=False))
    return "\n".join(lines)


def page_of_folder(result: FolderScores) -> str:
    """One score a line, protocol by protocol."""
    lines = [counted(result.n, "picture")]
    for protocol, values in result.protocols.items():
        lines += [f"protocol {protocol}", *_table({name: (value, None) for name, value in values.items()}, ("", ""))]
    return "\n".join(lines)


def _table(scores: Mapping[str, tuple[float, float | None]], heads: tuple[str, str]) -> list[str]:
    from reprolib import metrics

    lines = []
    for name, (value, before) in scores.items():
        metric = metrics.get(name)
        given = _text(before, metric.decimals)
        beside = f"  {heads[1]} {given:>9}" if given and heads[1] else ""
        lines.append(f"  {metric.label[:36]:<36}{_text(value, metric.decimals):>10} {metric.unit:<4}{beside}".rstrip())
    return lines


def _text(value: float | None, decimals: int) -> str:
    """A score as tables print it; what is not finite in words."""
    if value is None:
        return ""
    odd = strict({"value": value}).get("reasons")
    return str(odd["value"]) if odd else f"{value:.{decimals}f}"
