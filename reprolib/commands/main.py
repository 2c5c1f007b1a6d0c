"""The command line as a whole. Whatever takes long to load is imported by the commands, so that --help is quick."""

from __future__ import annotations

import os
import sys

import typer
from typer.exceptions import TyperException

from reprolib import runtime
from reprolib.commands import streams
from reprolib.commands.apply import dehaze, translate
from reprolib.commands.bench import bench, bench_translators
from reprolib.commands.data import app as data
from reprolib.commands.evaluate import evaluate, score
from reprolib.commands.failures import INTERRUPTED, USER, explain
from reprolib.commands.lists import datasets, metrics, profiles, systems
from reprolib.commands.measure import measure, verify
from reprolib.commands.report import app as report
from reprolib.commands.results import calibrate, check, claims, ledger
from reprolib.commands.runs import app as runs
from reprolib.commands.site import site
from reprolib.commands.submit import submit
from reprolib.commands.train import segmenter, train
from reprolib.commands.weights import app as weights
from reprolib.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="Reference reproduction of AECR-Net and CUT: data, training, evaluation, tables, ledger.")

for command in (systems, datasets, metrics, profiles, train, segmenter, submit, measure, verify, evaluate, score,
                dehaze, translate, ledger, claims, check, calibrate, site, bench, bench_translators):
    app.command()(command)
for name, group in {"data": data, "weights": weights, "runs": runs, "report": report}.items():
    app.add_typer(group, name=name)

SEVERAL = ("train",)
"""Commands that several processes of torchrun may run together."""


def main() -> None:
    """Entry point: every failure is one line on stderr and an exit code other than 0."""
    streams.install()
    runtime.tune()
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Run one command; returns its exit code."""
    # What torchrun says; torch itself is not asked, since --help need not wait for it to load.
    started = os.environ if "TORCHELASTIC_RUN_ID" in os.environ else {}
    processes, number = int(started.get("WORLD_SIZE", 1)), int(started.get("RANK", 0))
    try:
        if processes > 1 and words[:1] not in [[name] for name in SEVERAL]:
            raise UserError(f"only `{', '.join(SEVERAL)}` runs in several processes", fix="start it without torchrun")
        if any(not word or (word.startswith("--") and word.endswith("=")) for word in words):
            # As a path it would be the current folder.
            raise UserError("an empty value on the command line", fix="a variable of a script may not be set")
        return _invoke(words)
    except (Exception, KeyboardInterrupt) as error:
        text, code = explain(error)
        print(f"reprolib, process {number}: {text}" if number else f"reprolib: {text}", file=sys.stderr)
        return code


def _invoke(words: list[str]) -> int:
    """Parse and call. What Typer says of wrong words, in several lines, becomes a UserError."""
    try:
        outcome = app(words, prog_name="reprolib", standalone_mode=False)
    except TyperException as error:
        text, context = error.format_message(), getattr(error, "ctx", None)
        if text.startswith("Usage:"):  # a group without a command
            print(text, file=sys.stderr)
            return USER
        raise UserError(text.rstrip("."), fix=f"see `{context.command_path} --help`" if context else None) from error
    if outcome == INTERRUPTED:  # Typer makes this of a KeyboardInterrupt
        raise KeyboardInterrupt
    return outcome if isinstance(outcome, int) else 0
