"""One file over HTTP: what has come stays when a connection breaks, and the next request asks for the rest.

pooch compares checksums and moves a whole file into place; it begins anew after every break, which for files of
gigabytes means never to end, so that the transfer itself is done here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprolib.errors import UserError
from reprolib.files import WRITE_ADVICE, write_text
from reprolib.progress import line

if TYPE_CHECKING:
    import requests

TIMEOUT = (20.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""

PAUSES = (1.0, 5.0, 20.0)
"""Seconds before each further attempt; the count begins anew whenever bytes have come."""

CHUNK = 2**20

PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which the same request may succeed."""


class Broken(Exception):
    """An attempt that has failed in a way that may pass; its text says how."""


@dataclass(frozen=True)
class Begun:
    """What a part of a file belongs to."""

    url: str
    validator: str
    """The server's mark of this very content: a strong ETag, else its date; empty if it gives none."""
    total: int | None
    """Bytes of the whole file."""


class Resumed:
    """A downloader for pooch that goes on where an earlier one was stopped.

    Args:
        part: file that takes what has come, beside which stands what it belongs to.
        checked: the whole is compared with a known checksum, so that parts may be joined without the server's mark.
    """

    def __init__(self, part: Path, checked: bool):
        self.part, self.checked = part, checked
        self.note = part.with_name(f"{part.name}.json")

    def __call__(self, url: str, output_file: str | Path, pooch: object, check_only: bool = False) -> None:
        """Download `url` to `output_file`.

        Raises:
            UserError: no connection, an error of the server, a web page in place of a file, or a full disk.
        """
        pauses = list(PAUSES)
        while True:
            before = self._size()
            try:
                self._attempt(url)
                break
            except Broken as error:
                if self._size() > before:
                    pauses = list(PAUSES)
                if not pauses:
                    raise UserError(f"the download broke off: {error}", where=url,
                                    fix="run the same command again; what has come is kept") from error
                time.sleep(pauses.pop(0))
            except OSError as error:
                if error.errno in WRITE_ADVICE:
                    raise UserError("cannot write", where=self.part, fix=WRITE_ADVICE[error.errno]) from error
                raise
        self.part.replace(output_file)
        self.note.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _attempt(self, url: str) -> None:
        """One request, for the rest if there is a part that it belongs to; ends when the file is whole."""
        import requests

        begun, have = self._begun(url), self._size()
        headers = {"Accept-Encoding": "identity"}
        if begun is not None and have:
            headers |= {"Range": f"bytes={have}-"} | ({"If-Range": begun.validator} if begun.validator else {})
        try:
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
                if answer.status_code == 416 and begun is not None and begun.total == have:
                    return
                self._receive(url, answer, have)
        except requests.exceptions.TooManyRedirects as error:
            raise UserError("the address leads in a circle", where=url, fix=ELSEWHERE) from error
        except requests.exceptions.RequestException as error:
            raise Broken(_reason(error)) from error

    def _receive(self, url: str, answer: requests.Response, have: int) -> None:
        if answer.status_code in (*PASSING, 416):
            if answer.status_code == 416:  # there is no such rest: the file has changed
                self._forget()
            raise Broken(f"the server answers {answer.status_code} {answer.reason}")
        if not answer.ok:
            raise UserError(f"the server answers {answer.status_code} {answer.reason}", where=url, fix=ELSEWHERE)
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise UserError("the server sends a web page in place of the file, perhaps to log in", where=answer.url,
                            fix=ELSEWHERE)
        start, total = _extent(answer)
        if start not in (0, have):
            self._forget()
            raise Broken("the server sends another part than was asked for")
        write_text(self.note, json.dumps(asdict(Begun(url, _validator(answer.headers), total))))
        done = start
        name = f"{self.part.name.removesuffix('.part')}, MB"
        with self.part.open("ab" if start else "wb") as stream, \
                line(name, _megabytes(total or 0), _megabytes(done)) as update:
            for chunk in answer.iter_content(CHUNK):
                stream.write(chunk)
                stream.flush()  # what has come survives a kill
                done += len(chunk)
                update(_megabytes(done), "")
        if total is not None and done < total:
            raise Broken(f"{done:,} of {total:,} bytes have come")

    def _begun(self, url: str) -> Begun | None:
        """What the part belongs to; None if it cannot be joined with what would come."""
        try:
            begun = Begun(**json.loads(self.note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return begun if begun.url == url and (begun.validator or self.checked) else None

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


ELSEWHERE = "look for its new place on the page of its authors, download it there, then `reprolib data register`"


def _validator(headers: Mapping[str, Any]) -> str:
    etag = str(headers.get("ETag", ""))
    return etag if etag and not etag.startswith("W/") else str(headers.get("Last-Modified", ""))


def _extent(answer: requests.Response) -> tuple[int, int | None]:
    """First byte that an answer brings, and how many the whole file has if it says so."""
    try:
        if answer.status_code == 206:
            where, _, whole = answer.headers["Content-Range"].removeprefix("bytes ").partition("/")
            return int(where.partition("-")[0]), None if whole == "*" else int(whole)
        return 0, int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
    except (KeyError, ValueError) as error:
        raise Broken("the server does not say which part it sends") from error


def _reason(error: Exception) -> str:
    """An exception of requests in a few words."""
    import requests

    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no answer"
    if isinstance(error, requests.exceptions.Timeout):
        return f"nothing has come for {TIMEOUT[1]:.0f} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was closed before the end"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    return type(error).__name__


def _megabytes(size: int) -> int:
    return -(-size // 10**6)
