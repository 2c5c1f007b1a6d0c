"""The figures as a page."""

from __future__ import annotations

from collections.abc import Sequence

from faults import Figures

TEXT = """\
# Faults on purpose
`python tests/campaign` (some minutes of one core; `--quick` tries a tenth, `--times 4` four times as many) runs \
commands on a tiny project, does something to them at moments drawn from a seed, and then runs the same command again. \
A moment is *survived* if that succeeds, everything below `checkpoints`, `outputs`, `results`, `data` and `profiles` \
is byte for byte what an undisturbed command writes, no file under its own name was half-written in between, and no \
temporary file stays. Any other moment is *lost*, and listed.

Last run with seed {seed}:

| fault | command | moments | survived | lost |
|---|---|---|---|---|
{rows}
| all | | {tried} | {survived} | {lost} |
{losses}
* **SIGKILL**: half of the moments are drawn from the time that the command takes, half are just before the n-th \
operation on a file (PEP 578's audit events), where a half-written file would come from. Half of each kill the process \
alone, as the kernel does that lacks memory, and leave its children to notice; half kill them as well.
* **disk full**: the project lies on a tmpfs with a random part of the room that the command needs. It must say so in \
one line, or not need the room; then it gets the room.
* **two at once**: the same command starts a second time. One of them may be refused in one line.
* **read-only**: the tmpfs is mounted anew without permission to write, at the beginning or after a kill. One line, \
nothing changed.
* **clock set back**: killed just before an operation on a file; then all dates of files are moved a day ahead, and \
`time.time` a day back, as after a clock that was wrong. The kernel's own clock was not touched.

Found by it and mended: a full disk under `torch.save`, which covers what the system says with an error of its own; \
a download that was killed between its last move and its registration, which then refused its own folder; what a \
killed `data prepare` left beside the dataset; a killed training's workers, which on a crowded machine held its lock \
for more than the 15 seconds that the next one waited (a minute now); a translator's child that trained on after its \
parent was killed (the kernel ends it now); what a kill left of the lists of downloads and datasets.

Commands are copies (fork) of one process that has loaded its libraries, so that a moment costs little more than the \
command's own work: the loading itself, which writes nothing, is not among the moments.
"""


def written(found: Sequence[Figures], seed: int) -> str:
    rows = "\n".join(f"| {f.fault} | {f.command} | {f.tried} | {f.survived} | {len(f.lost)} |" for f in found)
    losses = "".join(f"\n* lost: {f.fault}, {f.command}, {line}" for f in found for line in f.lost)
    tried, lost = sum(f.tried for f in found), sum(len(f.lost) for f in found)
    return TEXT.format(seed=seed, rows=rows, tried=tried, survived=tried - lost, lost=lost,
                       losses=losses + "\n" if losses else "")
