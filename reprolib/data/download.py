"""`reprolib data download NAME`: from a public address to a registered dataset.

The address is a key of the dataset's manifest. Its checksum stands there where the release's is known; otherwise that
of the first download that passed every check is recorded on this machine, and a later one must have it too.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from reprolib.data.fetch import ELSEWHERE, Resumed
from reprolib.data.make import make
from reprolib.data.registry import REGISTERED, Dataset, data_home, get_dataset, registered
from reprolib.data.unpack import unpacked
from reprolib.data.verify import Report, register, verify
from reprolib.errors import UserError, unknown
from reprolib.files import rewriting, sha256, write_text
from reprolib.progress import say

KEPT = REGISTERED.with_name("downloads.json")
"""By dataset: the terms that were accepted, and the checksum of the first good download."""


@dataclass(frozen=True)
class Download:
    """The key `download` of a manifest."""

    urls: tuple[str, ...] = ()
    """Places of one and the same file, tried in order."""
    sha256: str = ""
    """Of that file, if it is known."""
    bytes: int | None = None
    """Of that file, if it is known."""
    tried: bool = True
    """False: taken from the authors' page or code, and never downloaded by us."""
    make: bool = False
    """The file is what `reprolib data make` starts from, no archive of the dataset."""
    steps: str = ""
    """Where there is no public file: how one gets it."""


def download_of(dataset: Dataset) -> Download:
    """What a manifest says of its download.

    Raises:
        UserError: a key that there is not.
    """
    known = [f.name for f in fields(Download)]
    for key in dataset.download:
        if key not in known:
            raise unknown(f"key of a download ({dataset.name})", key, known)
    content = dict(dataset.download)
    return Download(**{**content, "urls": tuple(content.get("urls", ()))})


def download(name: str, output: Path | None = None, accept: Callable[[str], bool] = lambda terms: False) -> Report:
    """Download, unpack, check and register a dataset; stopped at any moment, the same call goes on.

    Args:
        output: the folder to be, data/NAME by default, below $REPROLIB_DATA if that is set.
        accept: is shown the terms, and says whether they are accepted. They are shown once: not again as long as they
            stay the same.

    Raises:
        UserError: no public file (with the steps that get it), terms that were not accepted, no connection, a file that
            is not the expected one, a folder that holds something else, or a second download of it at the same time.
    """
    dataset = get_dataset(name)
    entry = download_of(dataset)
    if not entry.urls:
        if entry.steps:
            raise UserError(f"'{name}' has no public file", where=dataset.licence, fix=entry.steps)
        raise UserError(f"'{name}' is not downloaded", fix=f"run `reprolib data prepare {name}`" if dataset.embedded
                        else f"get {dataset.hint}; then run `reprolib data register {name} PATH`")
    given, output = output, output or (data_home() or Path()) / "data" / name
    work = output.parent / f".{output.name}.download"
    if name in registered() and given is None:
        shutil.rmtree(work, ignore_errors=True)  # of one that was killed at its very end
        return verify(name)
    if not entry.make and _is_taken(output) and not work.is_dir():
        raise UserError("this place holds something already", where=output,
                        fix=f"run `reprolib data register {name} {output}` if it is the dataset, else give --output")
    _ask(dataset, entry, output, accept)
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock").acquire(timeout=0):
            if entry.make or not _is_taken(output):  # otherwise one was killed after it had moved the folder there
                file = _fetch(dataset, entry, work)
                if entry.make:
                    make(name, file, output)
                    _keep(name, sha256=sha256(file))
                else:
                    _move(name, file, work, output)
            report = register(name, output)
            shutil.rmtree(work, ignore_errors=True)
    except Timeout as error:
        raise UserError(f"'{name}' is being downloaded already", where=work, fix="wait for it, or stop it") from error
    return report


def _is_taken(output: Path) -> bool:
    return output.exists() and (not output.is_dir() or any(output.iterdir()))


def _ask(dataset: Dataset, entry: Download, output: Path, accept: Callable[[str], bool]) -> None:
    """Show the terms unless these very ones were accepted before."""
    if _kept(dataset.name).get("licence") == dataset.licence:
        return
    size = f", {entry.bytes / 1e6:,.0f} MB" if entry.bytes else ""
    terms = [f"{dataset.title}{size}, from {entry.urls[0]} to {output}", f"Terms: {dataset.licence}",
             f"Cite: {dataset.citation}"]
    if not entry.tried:
        terms.append("This address was not tried by us: it comes from the authors' page or code.")
    if not accept("\n".join(terms)):
        raise UserError("the terms were not accepted", where=dataset.licence,
                        fix="answer y, or give --yes if you accept them")
    _keep(dataset.name, licence=dataset.licence)


def _fetch(dataset: Dataset, entry: Download, work: Path) -> Path:
    """The file, whole and as expected; of several addresses the first that gives it.

    Raises:
        UserError: none does; what the last one answered.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # it tells every checksum
    expected = entry.sha256 or str(_kept(dataset.name).get("sha256", ""))
    fault: UserError | None = None
    for url in entry.urls:
        name = PurePosixPath(urlsplit(url).path).name
        if fault is not None:
            say(f"reprolib: {fault.what} ({fault.where}); trying the next address")
        try:
            got = Path(pooch.retrieve(url, f"sha256:{expected}" if expected else None, fname=name, path=work,
                                      downloader=Resumed(work / f"{name}.part", bool(expected))))
        except UserError as error:
            fault = error
            continue
        except ValueError as error:  # pooch: another checksum; the file is gone
            known = "recorded" if not entry.sha256 else "published"
            fault = UserError(f"the file is another one than expected: its checksum is not the {known} one", where=url,
                              fix=f"try again; if it stays so, {ELSEWHERE}, or delete {KEPT}" if not entry.sha256
                              else f"try again; if it stays so, {ELSEWHERE}")
            fault.__cause__ = error
            continue
        if not expected and entry.bytes is not None and got.stat().st_size != entry.bytes:
            fault = UserError(f"{got.stat().st_size:,} bytes have come where {entry.bytes:,} are expected", where=url,
                              fix=ELSEWHERE)
            got.unlink()
            continue
        return got
    assert fault is not None
    raise fault


def _move(name: str, file: Path, work: Path, output: Path) -> None:
    """Unpack beside the folder to be, check, and move into place in one step."""
    try:
        with unpacked(file, work) as folder:
            inside = sorted(place for place in folder.iterdir() if place.is_dir())  # a readme may lie beside it
            found = [verify(name, place) for place in (folder, *inside)]
            whole = next((report for report in found if report.complete), None)
            if whole is None:
                why = min((report.problems for report in found), key=len)
                raise UserError(f"what came is not the dataset: {'; '.join(why[:3]) or found[0].sample}",
                                where=file, fix=f"look into the file; expected is {get_dataset(name).hint}")
            _keep(name, sha256=sha256(file))
            if output.is_dir():
                output.rmdir()  # empty, or somebody else was faster
            whole.root.replace(output)
    except UserError:
        if not _kept(name).get("sha256") and not download_of(get_dataset(name)).sha256:
            file.unlink(missing_ok=True)  # nothing says that it is the right one: the next call asks again
        raise


def _kept(name: str) -> dict[str, Any]:
    return dict(_all_kept().get(name, {}))


def _all_kept() -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(KEPT.read_text(encoding="utf-8"))
        return {str(name): dict(entry) for name, entry in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # lost: the terms are shown again, and the next good download is the first


def _keep(name: str, **entry: str) -> None:
    with rewriting(KEPT):
        write_text(KEPT, json.dumps({**_all_kept(), name: {**_kept(name), **entry}}, indent=1, sort_keys=True) + "\n")
