"""A page for the runs of each system in each profile: what they were, how training went, every number measured."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path

import pandas as pd
from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from reprolib.evaluation.record import Record
from reprolib.report.site.page import Page, anchor, escape, href, link, plain, raw, table, toctree
from reprolib.report.site.source import Source, called, label, of_system
from reprolib.results.quantity import quantity

DESCRIBED = ("dataset", "seed", "steps", "batch", "crop", "precision", "recipe", "checkpoint", "network", "objective",
             "contrast", "params_built", "params", "note", "fingerprint", "training_code", "code_hash", "data_hash",
             "data", "environment")
"""Fields of a record that all of a run's share, and that say what the run was."""

SMOOTHED = 25
"""Steps that a curve of the loss is averaged over: a batch's loss alone is mostly noise."""


def pages(source: Source) -> Iterator[Page]:
    """The systems' pages, and one above them for all and for each profile."""
    yield Page("runs/index", "# Runs and training curves\n\nEvery run with its settings, its training curve and every "
               "number measured of it, as its record holds them.\n"
               + toctree(*(f"{profile}/index" for profile in source.profiles), depth=2))
    for profile in source.profiles:
        systems = [system for of, system in source.records if of == profile]
        yield Page(f"runs/{profile}/index", f"# Runs: {called(profile)}\n" + toctree(*systems))
        for system in systems:
            yield _page(profile, system, source)


def _page(profile: str, system: str, source: Source) -> Page:
    here, runs = of_system(profile, system), source.records[profile, system]
    logs = _logs(profile, system, list(runs), source)
    lines = [f"# {label(system)}: {called(profile)}", ""]
    files = {}
    if logs:
        name = f"{anchor(system)}.svg"
        files[name] = _draw(logs)
        lines += [f"![Training curves of {label(system)} in profile {profile}: loss and score on the validation split "
                  f"by step]({name})", ""]
    elif any(r.steps for records in runs.values() for r in records):
        lines += ["Its training logs, which are not kept in Git, are not on the machine that drew this page.", ""]
    for name, records in runs.items():
        if records:
            lines += _run(here, name, records, f"records/{profile}/{system}/{name}.json")
    return Page(here, "\n".join(lines), files)


def _run(here: str, name: str, records: list[Record], file: str) -> list[str]:
    first = records[0]
    said = {field: getattr(first, field) for field in DESCRIBED}
    told = [(field.replace("_", " "), escape(plain(value))) for field, value in said.items()
            if value not in (0, "", None, {})]
    measured = pd.DataFrame([{
        "metric": f'<span id="{anchor(name, r.metric)}">{escape(quantity(r.metric).label)}</span>',
        "value": escape(_number(r, r.value)) or escape(r.status), "unit": escape(r.unit),
        "input": escape(_number(r, r.input_value)), "protocol": escape(r.protocol), "pictures": str(r.n),
        "weights": escape(r.checkpoint), "stands for": escape(" ".join(r.rows)) if r.tabled else ""} for r in records])
    return [f"## {name}", "", table(measured, f"Numbers of {name}"),
            raw("<details><summary>Settings</summary>"),
            table(pd.DataFrame(told, columns=["setting", "value"]), f"Settings of {name}"), raw("</details>"),
            f"The record as a file: {link(file.rpartition('/')[2], href(here, file))}", ""]


def _number(record: Record, value: float | None) -> str:
    return "" if value is None else f"{value:.{quantity(record.metric).decimals + 2}f}"


def _logs(profile: str, system: str, names: list[str], source: Source) -> dict[str, pd.DataFrame]:
    """Training logs that are on this machine, by run."""
    files: dict[str, Path] = {
        name: source.root / "checkpoints" / profile / system / name / "log.csv" for name in names}
    return {name: pd.read_csv(path) for name, path in files.items() if path.is_file()}


def _draw(logs: Mapping[str, pd.DataFrame]) -> bytes:
    """Loss and validation by step, as an SVG whose bytes depend on the logs alone."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    loss, score = figure.subplots(1, 2)
    looks = cycle(cycler(linestyle=["-", "--", ":"]) * rcParams["axes.prop_cycle"])  # all colours, then dashed
    for look, (name, log) in zip(looks, logs.items(), strict=False):
        if "loss" in log:
            smooth = log["loss"].rolling(SMOOTHED, min_periods=1).mean()
            loss.plot(log["step"], smooth, linewidth=1, label=name, **look)
        if "validation" in log:
            seen = log.dropna(subset=["validation"])
            score.plot(seen["step"], seen["validation"], marker="o", markersize=3, linewidth=1, label=name, **look)
    loss.set(xlabel="step", ylabel=f"loss, mean over {SMOOTHED} steps")
    score.set(xlabel="step", ylabel="score on the validation split")
    for axes in (loss, score):
        axes.grid(alpha=0.3)
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
