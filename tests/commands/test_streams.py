"""A terminal, a reader or a disk that goes away never costs a result, and no letter of a name ends a command."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from reprolib.commands import streams

SEQUENCE = """
import sys
from pathlib import Path
from reprolib.commands import streams
from reprolib.commands.main import run

streams.install()
sys.stdin.readline()  # until stdout and stderr are gone
commands = [
    "runs inputs", "segmenter", "train aodnet --resume --accelerator cpu", "measure aodnet dcp", "report ledger",
    "report summary", "evaluate dcp --dataset haze-dense --json",
    "dehaze data/haze-dense/test/hazy out --system dcp", "score out data/haze-dense/test/clear",
]
Path("codes").write_text(" ".join(str(run(words.split())) for words in commands))
"""


def environment(**more: str) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **more}


@pytest.mark.parametrize("gone", ["pipe", "terminal", "disk"])
def test_kind_40_commands_end_well_without_anybody_to_read_them(tiny: Path, gone: str) -> None:
    """`| head` has left, ssh was closed, or the disk under a log is full: work is done, and results are kept."""
    reader, writer = os.pipe() if gone == "pipe" else pty.openpty() if gone == "terminal" else (
        -1, os.open("/dev/full", os.O_WRONLY))
    process = subprocess.Popen([sys.executable, "-c", SEQUENCE], cwd=tiny, env=environment(), stdin=subprocess.PIPE,
                               stdout=writer, stderr=writer)
    os.close(writer)
    if reader >= 0:
        os.close(reader)
    process.communicate(b"\n")
    assert process.returncode == 0
    assert (tiny / "codes").read_text() == " ".join(["0"] * 9)
    assert (tiny / "checkpoints/mini/aodnet/aodnet-dense/last.safetensors").is_file()
    assert (tiny / "results/mini/records/aodnet/aodnet-dense.json").is_file()
    assert (tiny / "results/mini/ledger.json").is_file() and len(list((tiny / "out").iterdir())) == 2
    kept = [path.read_text() for path in (tiny / "runs/lost").iterdir()]  # what commands would have printed
    assert any(text.startswith("{") and json.loads(text)["system"] == "dcp" for text in kept)


WITHOUT_SHARED_MEMORY = """
import errno, multiprocessing.queues, sys
from reprolib.commands import streams
from reprolib.commands.main import run

def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")

streams.install()
multiprocessing.queues.SimpleQueue.__init__ = multiprocessing.queues.Queue.__init__ = full
sys.exit(run("train aodnet-dense --accelerator cpu --workers 1".split()))
"""


def test_workers_without_shared_memory_end_the_run_in_one_line(tiny: Path) -> None:
    """A full /dev/shm refuses the semaphores of their queues; what they fail to take down is not told."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_SHARED_MEMORY], cwd=tiny, env=environment(), text=True,
                          capture_output=True, check=False)
    assert done.returncode == 2
    (line,) = (text for text in done.stderr.splitlines() if "aodnet-dense" not in text)
    assert line.startswith("reprolib: a process that loads batches died or is stuck: [Errno 28] No space left")
    assert "(--workers 1): use --workers 0" in line and "--shm-size" in line


def reprolib(words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = f"{sys.executable} -m reprolib {words}"
    return subprocess.run(command, shell=True, capture_output=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_kind_28_letters_that_a_terminal_lacks_are_replaced(tiny: Path) -> None:
    done = reprolib("train $'\xe9\u4e2d'", cwd=tiny, executable="/bin/bash", env=environment(PYTHONIOENCODING="ascii"))
    assert done.returncode == 2 and done.stderr.startswith(b"reprolib: unknown system or run '??'")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_stream_takes_every_letter(tmp_path: Path, encoding: str) -> None:
    with (tmp_path / "log").open("w", encoding=encoding) as plain:
        lenient = streams._lenient(plain)
        print("a é 中 " + os.fsdecode(b"\xe9"), file=lenient)
        assert streams.lost(lenient) is None
    assert (tmp_path / "log").read_text(encoding).startswith("a ") and "?" in (tmp_path / "log").read_text(encoding)


def test_a_result_that_stdout_has_not_taken_is_no_success(tiny: Path) -> None:
    done = reprolib("profiles --json > /dev/full", cwd=tiny, env=environment())
    assert done.returncode == 2 and b"stdout has not taken the result: No space left on device" in done.stderr
    done = reprolib("profiles --json >&-", cwd=tiny, env=environment())
    assert done.returncode == 0 and not done.stderr
