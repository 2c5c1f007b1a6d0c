"""The site in a real browser, opened from disk: it asks for nothing, says no error, and its parts do what they promise.

Built from a tiny project with the page of one room of the package, so that it takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_results

from reprolib.report import ledger, site, tables
from reprolib.report.shown import TestPicture
from reprolib.report.site import gallery, words
from reprolib.report.site.page import Page

PAGES = ("index", "tables/table1", "ledger", "gallery/tiny", "runs/tiny/dcp", "notebooks/tiny/told", "docs/math",
         "api/contrast")

FAINT = """() => {
  // Text whose contrast with what lies behind it is below WCAG's AA (4.5, or 3 for large text).
  const parse = (c) => (c.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("main *")].filter((e) => e.checkVisibility({visibilityProperty: true}))
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
    .filter((e) => !e.closest(".stage")).map((e) => {
      const style = getComputedStyle(e), [a, b] = [light(parse(style.color)), light(behind(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), parseFloat(style.fontSize) >= 24 ? 3 : 4.5, e.outerHTML.slice(0, 120)];
    }).filter(([ratio, least]) => ratio < least);
}"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the site of a tiny project."""
    root = tiny_results.make(tmp_path_factory.mktemp("project [x] $"))
    with pytest.MonkeyPatch.context() as patch:
        black, white = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
        patch.setattr(gallery, "test_pictures", lambda *_: [
            TestPicture("0_1", black, white, ""), TestPicture("1_1", black + 40, white, "")])
        room = words._automodule("reprolib.contrast.losses")
        patch.setattr(words, "api", lambda: iter([
            Page("api/index", "# Python\n\n```{toctree}\ncontrast\n```"),
            Page("api/contrast", f"# contrast\n\n{room}")]))
        site.write(root / "out" / "site", root)
        before = (root / "out" / "site" / "index.html").read_bytes()
        site.write(root / "out" / "site", root)  # takes the place of the one before
        assert (root / "out" / "site" / "index.html").read_bytes() == before  # DVC tracks it
    assert [path.name for path in (root / "out").iterdir()] == ["site"]
    return root / "out" / "site"


@pytest.fixture
def visit(built: Path, chromium: Any) -> Iterator[Any]:
    """Opens a page by its place; in the end nothing has gone wrong and nothing was asked for outside the folder."""
    faults: list[str] = []
    contexts = []

    def open_page(place: str, **options: Any) -> Any:
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("requestfailed", lambda request: faults.append(request.url))
        page.on("request", lambda request: None if request.url.startswith((built.as_uri(), "data:"))
                else faults.append(request.url))
        name, mark, rest = place.partition("?")
        page.goto(f"{(built / name).as_uri()}.html{mark}{rest}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_is_sound(visit: Any, scheme: str) -> None:
    page = visit(PAGES[0], viewport={"width": 380, "height": 800}, color_scheme=scheme)
    for place in PAGES:
        page.goto(page.url.rpartition("/out/site/")[0] + f"/out/site/{place}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 380, place
        assert page.evaluate("[...document.images].filter((image) => !image.alt.trim()).length") == 0, place
        headings = "[...document.querySelectorAll('main :is(h1,h2,h3,h4,h5,h6)')]"
        levels = page.evaluate(f"{headings}.map((heading) => +heading.tagName[1])")
        assert levels.count(1) == 1 and levels[0] == 1, place
        assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False)), place
        assert page.evaluate(FAINT) == [], place


def test_pictures_are_compared_by_mouse_keyboard_touch_and_menus(visit: Any) -> None:
    page = visit("gallery/tiny", viewport={"width": 1000, "height": 900}, has_touch=True)
    stage = page.locator(".stage")
    split = lambda: float(stage.evaluate("s => s.style.getPropertyValue('--split').replace('%', '')"))  # noqa: E731
    box = stage.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=4)
    page.mouse.up()
    assert split() == pytest.approx(25, abs=3)
    page.keyboard.press("ArrowRight")
    assert split() == pytest.approx(25.5, abs=3) and "clip-path" not in (stage.get_attribute("style") or "")
    page.touchscreen.tap(box["x"] + box["width"] * 0.75, middle)
    assert split() == pytest.approx(75, abs=3)
    page.select_option("select[name=picture]", "1_1")
    page.select_option("select[name=right]", "clear")
    right = page.locator("figure.right img")
    assert right.get_attribute("src").endswith("1-1-clear.jpg") and "1_1: clear" in right.get_attribute("alt")
    page.wait_for_function("[...document.querySelectorAll('.stage img')].every((i) => i.complete && i.naturalWidth)")


def test_the_ledger_is_searched_and_a_number_leads_to_its_record(visit: Any) -> None:
    page = visit("tables/table1")
    page.click("td a:text-is('DCP') >> nth=0")
    page.wait_for_selector("form.filter")  # shown when the rows are filtered
    rows = page.locator("#cells tbody tr:visible")
    assert "ledger.html?search=table1/dcp" in page.url
    assert 0 < rows.count() < page.locator("#cells tbody tr").count()
    page.select_option("form.filter select[name=metric]", "PSNR")
    page.select_option("form.filter select[name=profile]", "tiny")
    page.select_option("form.filter select[name=status]", "measured")
    assert rows.count() == 1 and page.locator("form.filter output").inner_text().startswith("1 of ")
    page.click("#cells tbody tr:visible td a:text-is('18.85')")
    assert page.url.endswith("runs/tiny/dcp.html#dcp-first-psnr")
    assert page.locator("td:has(span:target)").inner_text() == "PSNR"
    page.click("a:text-is('dcp-first.json')")
    assert '"value": 18.851819' in page.content()


def test_the_search_works_from_disk(visit: Any) -> None:
    page = visit("search?q=formula")
    page.wait_for_selector("#search-results li a >> text=A formula")
    page.wait_for_selector("#search-results >> text=Search finished")


def test_the_widest_table_fits_a_notebook_on_a_screen_of_1400_pixels(chromium: Any, project: Path) -> None:
    """Beside JupyterLab's list of files there are about 1,000 pixels for it."""
    page = chromium.new_page(viewport={"width": 1000, "height": 900})
    page.set_content("<style>body { margin: 0 } table { font: 12px sans-serif; border-collapse: collapse }"
                     "td, th { padding: 4px 6px }</style>" + tables.html(ledger.read("mini", project), "table1"))
    assert page.locator("th >> text=# Param").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    page.close()


def test_formulas_are_drawn_by_the_browser(visit: Any) -> None:
    assert visit("docs/math").locator("math mfrac").count() == 1
