"""Any two of several pictures: by menus with a kernel, and without one the first and the last two."""

from __future__ import annotations

import numpy as np

from reprolib.report.slider import Comparison

PICTURES = {name: np.full((8, 12, 3), 40 * i, np.uint8) for i, name in enumerate(("hazy", "a<b", "ours", "clear"))}


def test_menus_choose_what_lies_over_what() -> None:
    (left, right), box = (child.children if hasattr(child, "children") else child
                          for child in Comparison(PICTURES).menus().children)
    assert (left.value, right.value) == ("hazy", "ours") and left.options == tuple(PICTURES)
    assert 'alt="hazy"' in box.value and 'alt="ours"' in box.value
    left.value, right.value = "clear", "a<b"
    assert box.value.count("<img") == 2 and 'alt="clear"' in box.value and 'alt="a&lt;b"' in box.value
    right.value = "clear"
    assert box.value.count("<img") == 1


def test_what_is_kept_needs_no_kernel() -> None:
    kinds = Comparison(PICTURES)._repr_mimebundle_()
    assert {"text/html", "application/vnd.jupyter.widget-view+json"} <= set(kinds)
    assert [label in kinds["text/html"] for label in ('"hazy"', '"a&lt;b"', '"ours"', '"clear"')] == [
        True, False, True, True]
    assert Comparison(dict(list(PICTURES.items())[:2]))._repr_mimebundle_()["text/html"].count("<img") == 2


def test_a_sentence_is_kept_in_place_of_pictures_that_are_not_ours() -> None:
    compared = Comparison(PICTURES, instead="<p>theirs</p>")
    assert compared._repr_mimebundle_()["text/html"] == "<p>theirs</p>"
    assert compared.show("hazy", "clear").count("<img") == 2, "menus of a live kernel still show them"
