"""The entry point: the groups of commands, and what a person sees of any error."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import click
import typer

from reprolib import runtime
from reprolib.commands import apply, bench, data, measure, report, results, runs, train, weights
from reprolib.errors import UserError
from reprolib.progress import outlive_terminal

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Reference reproduction of AECR-Net and CUT: data, training, evaluation, tables, ledger.")
for group in (runs, train, measure, apply, results, bench):
    app.registered_commands += group.app.registered_commands
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")
app.add_typer(report.app, name="report")
app.add_typer(runs.group, name="runs")

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc")


def main() -> None:
    """Run a command. A mistake is one line on stderr and exit code 2; what is none of the person's doing is 1."""
    outlive_terminal()  # and one that cannot show a character gets '?', not a traceback
    runtime.tune()
    # What torchrun says; torch itself is not asked, since --help need not wait for it to load.
    started = os.environ if "TORCHELASTIC_RUN_ID" in os.environ else {}
    processes, number = int(started.get("WORLD_SIZE", 1)), int(started.get("RANK", 0))
    who = f"reprolib, process {number}" if number else "reprolib"
    try:
        if processes > 1 and sys.argv[1:2] != ["train"]:
            raise UserError("only `train` runs in several processes", fix="start it without torchrun")
        sys.exit(app(standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        _end(error.format_message(), 2)
    except click.ClickException as error:  # an option that does not fit
        _end(f"{who}: {' '.join(error.format_message().split())}", 2)
    except UserError as error:
        _end(f"{who}: {' '.join(str(error).split())}", 2)
    except (KeyboardInterrupt, click.Abort):
        _end(f"{who}: stopped; `--resume` goes on from the last saved state", 130)
    except BrokenPipeError:  # `| head`: who read us has seen enough
        _end("", 0)
    except Exception as error:
        if isinstance(error, MemoryError) or any(text in str(error).lower() for text in OUT_OF_MEMORY):
            _end(f"{who}: out of memory: make batch, crop or picture smaller, or run fewer at once (--jobs 1)", 1)
        place = _report()
        reason = " ".join(str(error).split())[:300]
        _end(f"{who}: internal error, {type(error).__name__}: {reason} (traceback: {place})", 1)


def _end(text: str, code: int) -> None:
    with suppress(OSError, ValueError):
        if text:
            print(text, file=sys.stderr, flush=True)
        sys.stdout.flush()
    with suppress(OSError):  # nothing more is written at exit, which would fail again on a closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _report() -> str:
    """Keep the whole traceback where it tears no terminal apart."""
    text = traceback.format_exc()
    path = Path("runs") / "error.txt"
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError:
        print(text, file=sys.stderr)
        return "above"
    return str(path)


if __name__ == "__main__":
    main()
