"""From a public address to a registered dataset, over a server that does everything wrong."""

from __future__ import annotations

import io
import json
import re
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from filelock import FileLock
from http_server import Page, Server, serve
from PIL import Image

from reprolib.commands.main import run
from reprolib.data import download as module
from reprolib.data import fetch, registry
from reprolib.data.download import download, download_of
from reprolib.data.registry import Dataset, datasets, locate
from reprolib.data.unpack import unpacked
from reprolib.errors import UserError
from reprolib.files import rewriting, sha256, write_text

COUNTS = {"trainA": 3, "trainB": 3, "testA": 2, "testB": 2}


def archive(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return stream.getvalue()


def pictures(seed: int = 0, **counts: int) -> dict[str, bytes]:
    """A release with a folder around it, and what a file browser leaves behind."""
    random, files = np.random.default_rng(seed), {"__MACOSX/tiny/._x.png": b"litter"}
    for folder, n in {**COUNTS, **counts}.items():
        for i in range(n):
            stream = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(stream, "png")
            files[f"tiny/{folder}/{i}.png"] = stream.getvalue()
    return files


WHOLE = archive(pictures())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(fetch, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(fetch, "CHUNK", 1000)
    with serve() as running:
        running.pages["/tiny.zip"] = Page(WHOLE)
        yield running


@pytest.fixture
def tiny(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dataset]:
    """Makes 'tiny' a dataset that lies on the server; what is given changes its `download`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)

    def make(licence: str = "for research", **changed: Any) -> Dataset:
        dataset = Dataset(
            "tiny", "Tiny", "translation", licence, "Nobody, 2026", hint="a tiny release",
            splits={"train": {"a": 3, "b": 3}, "val": {}, "test": {"a": 2, "b": 2}},
            download={"urls": [f"{server.url}/tiny.zip"], **changed})
        monkeypatch.setattr(registry, "datasets", lambda: {"tiny": dataset})
        return dataset

    make()
    return make


def go(**options: Any) -> Any:
    return download("tiny", accept=lambda terms: True, **options)


def files(root: Path = Path()) -> list[str]:
    """What lies in the working folder."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def is_whole(place: Path = Path("data/tiny")) -> bool:
    return {f: len(list((place / f).iterdir())) for f in COUNTS} == COUNTS and locate("tiny") == place.resolve()


def nothing_stays() -> bool:
    return not Path("data/tiny").exists() and not registry.REGISTERED.exists()


def test_from_an_address_to_a_registered_dataset(tiny: Callable[..., Dataset], server: Server) -> None:
    assert "complete: 10 pictures" in str(go())
    assert is_whole() and not list(Path("data").glob(".*")), "the archive is not kept"
    assert not any("MACOSX" in name for name in files())
    assert "complete" in str(go()) and len(server.asked) == 1, "it is here already"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_off(tiny: Callable[..., Dataset], server: Server, ranges: bool) -> None:
    """With ranges every byte comes once; without them the whole file comes again."""
    server.pages["/tiny.zip"] = Page(WHOLE, ranges=ranges, cut=[5000, 3000] if ranges else [5000])
    go()
    assert is_whole()
    assert server.sent == (len(WHOLE) if ranges else 5000 + len(WHOLE))
    assert [r for _, r in server.asked] == [None, "bytes=5000-", *(["bytes=8000-"] if ranges else [])]


def test_what_has_come_is_gone_on_from_by_the_next_call(tiny: Callable[..., Dataset], server: Server,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSES", ())
    server.pages["/tiny.zip"] = Page(WHOLE, cut=[7000])
    with pytest.raises(UserError, match="broke off.*run the same command again"):
        go()
    assert nothing_stays()
    go()
    assert is_whole() and server.sent == len(WHOLE)


def test_a_file_that_changes_in_between_comes_whole(tiny: Callable[..., Dataset], server: Server,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSES", ())
    server.pages["/tiny.zip"] = Page(WHOLE, cut=[7000])
    with pytest.raises(UserError):
        go()
    other = archive(pictures(1))
    server.pages["/tiny.zip"] = Page(other, etag='"2"')
    go()
    assert is_whole() and json.loads(module.KEPT.read_text())["tiny"]["sha256"] == _sha256(other)


def test_a_server_without_marks_is_asked_for_a_rest_only_if_the_checksum_is_known(
        tiny: Callable[..., Dataset], server: Server) -> None:
    for known, second in (("", None), (_sha256(WHOLE), "bytes=7000-")):
        tiny(sha256=known)
        server.asked.clear()
        server.pages["/tiny.zip"] = Page(WHOLE, etag="", cut=[7000])
        go(output=Path(f"place{len(known)}"))
        assert [r for _, r in server.asked] == [None, second]


def test_a_part_that_is_the_whole(tiny: Callable[..., Dataset], server: Server) -> None:
    """Killed after the last byte: the server has nothing left to send."""
    work = Path("data/.tiny.download")
    work.mkdir(parents=True)
    (work / "tiny.zip.part").write_bytes(WHOLE)
    begun = {"url": f"{server.url}/tiny.zip", "validator": '"1"', "total": len(WHOLE)}
    (work / "tiny.zip.part.json").write_text(json.dumps(begun))
    go()
    assert is_whole() and server.sent == 0


@pytest.mark.parametrize("is_registered", [False, True])
def test_killed_after_the_last_move(tiny: Callable[..., Dataset], server: Server, is_registered: bool) -> None:
    """Everything is in its place, and only the work's folder is left: the next call ends what was begun."""
    go()
    Path("data/.tiny.download").mkdir()
    if not is_registered:
        registry.REGISTERED.unlink()
    assert "complete" in str(go())
    assert is_whole() and len(server.asked) == 1 and not list(Path("data").glob(".*"))


def test_what_a_kill_left_of_the_lists_goes_and_nobody_writes_them_meanwhile(tiny: Callable[..., Dataset]) -> None:
    """Names are as `write_atomically` draws them; what another process has just kept of its own dataset stays."""
    lists = [registry.REGISTERED, registry.REGISTERED.with_name("downloads.json")]
    for path in lists:
        path.parent.mkdir(exist_ok=True)
        path.with_name(f".{path.name}.abcd_123").write_text("half")
    waiting = threading.Thread(target=go)
    with rewriting(lists[1]):
        waiting.start()
        lists[1].write_text(json.dumps({"other": {"licence": "free"}}))
    waiting.join()
    assert {"other", "tiny"} <= json.loads(lists[1].read_text()).keys() and is_whole()
    assert not [path for path in lists[0].parent.iterdir() if path.name.startswith(".")]


def test_more_is_promised_than_comes(tiny: Callable[..., Dataset], server: Server) -> None:
    server.pages["/tiny.zip"] = Page(WHOLE[:9000], ranges=False, claimed=len(WHOLE))
    with pytest.raises(UserError, match="broke off"):
        go()
    assert nothing_stays() and len(server.asked) == 3


def test_less_is_promised_than_there_is(tiny: Callable[..., Dataset], server: Server) -> None:
    server.pages["/tiny.zip"] = Page(WHOLE, claimed=len(WHOLE) // 2)
    with pytest.raises(UserError, match="cannot be unpacked"):
        go()
    assert nothing_stays()
    tiny(bytes=len(WHOLE))
    with pytest.raises(UserError, match=f"{len(WHOLE) // 2:,} bytes have come where {len(WHOLE):,} are expected"):
        go()
    server.pages["/tiny.zip"] = Page(WHOLE)
    go()
    assert is_whole(), "what was wrong is asked for again"


def test_redirects_are_followed_but_not_in_a_circle(tiny: Callable[..., Dataset], server: Server) -> None:
    server.pages |= {"/old.zip": Page(to="/older.zip"), "/older.zip": Page(to="/tiny.zip"),
                     "/circle.zip": Page(to="/circle.zip")}
    tiny(urls=[f"{server.url}/circle.zip"])
    with pytest.raises(UserError, match="leads in a circle"):
        go()
    tiny(urls=[f"{server.url}/old.zip"])
    go()
    assert is_whole()


def test_a_web_page_in_place_of_the_file(tiny: Callable[..., Dataset], server: Server) -> None:
    server.pages["/tiny.zip"] = Page(b"<html>please log in</html>", kind="text/html; charset=utf-8")
    with pytest.raises(UserError, match="web page in place of the file.*data register"):
        go()
    assert nothing_stays()
    server.pages["/tiny.zip"] = Page(b"<html>under a false flag</html>")
    with pytest.raises(UserError, match="cannot be unpacked: File is not a zip file"):
        go()
    assert nothing_stays()


def test_a_server_that_stops_sending(tiny: Callable[..., Dataset], server: Server,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", (5.0, 0.2))
    hang = threading.Event()
    server.pages["/tiny.zip"] = Page(WHOLE, cut=[6000], hang=hang)
    go()
    hang.set()
    assert is_whole() and [r for _, r in server.asked] == [None, "bytes=6000-"]


def test_a_server_that_is_slow_is_waited_for(tiny: Callable[..., Dataset], server: Server,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience is for each piece, not for the whole, which takes longer."""
    monkeypatch.setattr(fetch, "TIMEOUT", (5.0, 0.5))
    server.pages["/tiny.zip"] = Page(WHOLE, pieces=40)
    go()
    assert is_whole()


def test_addresses_are_tried_in_order(tiny: Callable[..., Dataset], server: Server,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    tiny(urls=[f"{server.url}/gone/tiny.zip", f"{server.url}/tiny.zip"])
    server.pages["/tiny.zip"].status = [503]
    go()
    assert is_whole() and [path for path, _ in server.asked] == ["/gone/tiny.zip", "/tiny.zip", "/tiny.zip"]
    assert "404 Not Found" in capsys.readouterr().err
    tiny(urls=["http://127.0.0.1:9/tiny.zip"])
    with pytest.raises(UserError, match="no connection"):
        go(output=Path("other"))


def test_a_published_checksum_must_hold(tiny: Callable[..., Dataset], server: Server) -> None:
    tiny(sha256=_sha256(b"something else"))
    with pytest.raises(UserError, match="not the published one"):
        go()
    assert nothing_stays() and not list(Path("data/.tiny.download").glob("*.zip"))
    tiny(sha256=_sha256(WHOLE))
    go()
    assert is_whole()


def test_the_first_good_download_is_remembered(tiny: Callable[..., Dataset], server: Server) -> None:
    """And no bad one is."""
    server.pages["/tiny.zip"] = Page(b"bad")
    with pytest.raises(UserError, match="cannot be unpacked"):
        go()
    server.pages["/tiny.zip"] = Page(WHOLE)
    go()
    server.pages["/tiny.zip"] = Page(archive(pictures(1)), etag='"2"')
    with pytest.raises(UserError, match="not the recorded one.*downloads.json"):
        go(output=Path("again"))
    assert not Path("again").exists() and is_whole()


def test_what_is_not_the_dataset_is_not_put_in_place(tiny: Callable[..., Dataset], server: Server) -> None:
    for counts, why in (({"trainA": 2}, "a sample: 9 of 10"), ({"testB": 3}, "3 pictures where 2 are expected")):
        server.pages["/tiny.zip"] = Page(archive(pictures(**counts)))
        with pytest.raises(UserError, match=f"not the dataset: .*{why}"):
            go()
        assert nothing_stays()


def test_a_readme_may_lie_beside_the_dataset(tiny: Callable[..., Dataset], server: Server) -> None:
    server.pages["/tiny.zip"] = Page(archive({**pictures(), "readme.txt": b"read me"}))
    go()
    assert is_whole() and not any("readme" in name for name in files())


def test_terms_are_shown_and_accepted_once(tiny: Callable[..., Dataset], server: Server) -> None:
    shown: list[str] = []

    def ask(terms: str) -> bool:
        shown.append(terms)
        return len(shown) > 1

    tiny(tried=False)
    with pytest.raises(UserError, match="not accepted.*--yes"):
        download("tiny", accept=ask)
    assert not server.asked and not files()
    assert all(word in shown[0] for word in ("for research", "Nobody, 2026", server.url, "was not tried"))
    download("tiny", accept=ask)
    download("tiny", output=Path("again"), accept=ask)
    assert len(shown) == 2
    tiny(licence="for nobody")
    download("tiny", output=Path("and again"), accept=ask)
    assert len(shown) == 3, "other terms are asked for"


def test_on_the_command_line_only_yes_accepts_without_a_terminal(
        tiny: Callable[..., Dataset], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run(["data", "download", "tiny"]) == 2
    out, err = capsys.readouterr()
    assert "Terms: for research" in err and err.splitlines()[-1].startswith("reprolib: the terms were not accepted")
    assert run(["data", "download", "tiny", "--yes"]) == 0
    assert "complete: 10 pictures" in capsys.readouterr().out


def test_a_folder_that_holds_something_is_left_alone(tiny: Callable[..., Dataset], server: Server) -> None:
    Path("data/tiny").mkdir(parents=True)
    Path("data/tiny/mine.txt").touch()
    with pytest.raises(UserError, match="holds something already"):
        go()
    assert files() == ["data/tiny/mine.txt"] and not server.asked
    Path("data/tiny/mine.txt").unlink()
    go()
    assert is_whole()


def test_one_download_of_a_dataset_at_a_time(tiny: Callable[..., Dataset], server: Server) -> None:
    work = Path("data/.tiny.download")
    work.mkdir(parents=True)
    with FileLock(work / "lock"), pytest.raises(UserError, match="being downloaded already"):
        go()
    assert not server.asked
    go()
    assert is_whole()


def test_a_file_to_make_a_dataset_from(tiny: Callable[..., Dataset], server: Server,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    server.pages["/source.mat"] = Page(b"depths", kind="application/octet-stream")
    tiny(urls=[f"{server.url}/source.mat"], make=True)
    given: list[bytes] = []

    def make(name: str, source: Path, output: Path) -> Path:
        given.append(source.read_bytes())
        for path, content in pictures().items():
            if path.startswith("tiny/"):
                place = output / path.removeprefix("tiny/")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        if len(given) == 1:
            raise UserError("the disk is full")
        return output

    monkeypatch.setattr(module, "make", make)
    with pytest.raises(UserError, match="disk is full"):
        go()
    go()
    assert is_whole() and given == [b"depths"] * 2 and len(server.asked) == 1, "the file stays until it has served"


@pytest.mark.parametrize(("name", "why"), [
    ("../evil.png", "leads out"), ("a/../../evil.png", "leads out"), ("a\\..\\..\\evil.png", "leads out"),
    ("/evil.png", "absolute"), ("C:\\evil.png", "absolute"), ("C:/evil.png", "absolute"), ("//host/evil", "absolute")])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str, why: str) -> None:
    path, place = tmp_path / "x.zip", tmp_path / "place"
    stored = zipfile.ZipInfo("x")
    stored.filename = name
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("good.png", b"good")
        made.writestr(stored, b"evil")
    with pytest.raises(UserError, match=why), unpacked(path, place):
        pass
    assert files(tmp_path) == ["x.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    path, link = tmp_path / "x.zip", zipfile.ZipInfo("link")
    link.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="holds (a link|something that is neither)"), unpacked(path, tmp_path):
        pass


def test_damaged_doubled_and_too_large_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.zip"
    content = bytearray(archive({"a.txt": b"0123456789" * 100}))
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be unpacked: Bad CRC"), unpacked(path, tmp_path):
        pass
    with zipfile.ZipFile(path, "w") as made, pytest.warns(UserWarning, match="Duplicate"):
        made.writestr("a.txt", b"1")
        made.writestr("a.txt", b"2")
    with pytest.raises(UserError, match="two entries of one name"), unpacked(path, tmp_path):
        pass
    path.write_bytes(archive({"a.txt": b"0" * 1000}))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 999}))
    with pytest.raises(UserError, match="1,000 bytes when unpacked, and the disk has 999 left"), \
            unpacked(path, tmp_path):
        pass
    assert files(tmp_path) == ["x.zip"]


def test_what_manifests_say_of_downloads() -> None:
    """Every address names a file, every checksum is one, and what has no address has steps."""
    for dataset in datasets().values():
        entry = download_of(dataset)
        assert not (entry.urls and entry.steps) and not (dataset.embedded and dataset.download)
        for url in entry.urls:
            assert urlsplit(url).scheme in ("https", "http") and urlsplit(url).path.rpartition("/")[2], url
        assert re.fullmatch(r"([0-9a-f]{64})?", entry.sha256), dataset.name


def test_where_there_is_no_public_file_the_steps_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, word in (("cityscapes", "register at https://www.cityscapes-dataset.com"),
                       ("haze-dense", "reprolib data prepare haze-dense")):
        with pytest.raises(UserError, match=word):
            download(name)


def test_a_mistyped_key_is_told(tiny: Callable[..., Dataset]) -> None:
    tiny(sha265="0")
    with pytest.raises(UserError, match="did you mean 'sha256'"):
        go()


def _sha256(content: bytes) -> str:
    path = Path("digested")
    path.write_bytes(content)
    try:
        return sha256(path)
    finally:
        path.unlink()


def test_a_registered_folder_that_is_no_longer_right_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    write_text(registry.REGISTERED, json.dumps({"nh-haze": str(tmp_path)}))
    assert run(["data", "download", "nh-haze"]) == 1
    assert "something is wrong" in capsys.readouterr().out
