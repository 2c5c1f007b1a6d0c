"""The table of protocols as its notebook shows it."""

from __future__ import annotations

import pandas as pd

from reprolib.report.protocols import shown


def test_a_row_a_protocol_with_metrics_over_systems() -> None:
    drawn = shown(pd.DataFrame([
        {"system": system, "dataset": "haze-dense", "pictures": 16, "protocol": protocol, "psnr": psnr, "ssim": 0.5}
        for system, protocol, psnr in (("dcp", "aecr", 20.0), ("aodnet", "aecr", 21.0), ("dcp", "y", 22.0),
                                       ("aodnet", "y", 23.0))]))
    assert list(drawn.columns)[0] == ("protocol", "")
    assert set(drawn.columns[1:]) == {(m, s) for m in ("PSNR", "SSIM") for s in ("DCP", "AOD-Net")}
    row = drawn[drawn["protocol", ""] == "y"].iloc[0]
    assert row["PSNR", "DCP"] == 22.0 and row["PSNR", "AOD-Net"] == 23.0
