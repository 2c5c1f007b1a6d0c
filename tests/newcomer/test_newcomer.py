"""What CONTRIBUTING.md promises, played on a copy of the project that is touched only where it says."""

from __future__ import annotations

import json
from typing import Any

import layouts

from newcomer.conftest import Checkout

DEHAZER = '''
from torch import Tensor, nn

from reprolib.models.system import System


class ToyNet(nn.Module):
    def __init__(self, channels: int = 64, depth: int = 4):
        super().__init__()
        layers = [nn.Conv2d(3, channels, 3, padding=1), nn.ReLU()]
        for _ in range(depth):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        return hazy_B3HW + self.body(hazy_B3HW)


SYSTEM = System(name="toynet", label="ToyNet [2]", task="dehazing", build=ToyNet, source="this test")
'''

TRANSLATOR = '''
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from reprolib.models.objective import TranslationObjective
from reprolib.models.system import System


class Toy(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
        self.generator = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.generator(x).tanh()


@dataclass(frozen=True)
class ToyObjective(TranslationObjective):
    method: ClassVar[str] = "toymethod"
    weight: float = 1.0


SYSTEM = System(name="toycolour", label="ToyColour", task="translation", build=Toy, source="this test",
                objective=ToyObjective(), inference=("generator",))
'''

METHOD = '''
import torch
from torch import Tensor

from reprolib.training.translation.method import Method


class ToyMethod(Method):
    """Mean colours of the two domains agree."""

    def __init__(self, networks, fabric, learning_rate, objective):
        self.networks, self.fabric, self.weight = networks, fabric, objective.weight
        self.optimisers = {"generator": torch.optim.Adam(networks.parameters(), lr=learning_rate)}
        self.extras = {}

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        made = self.networks(real_a)
        loss = self.weight * (made.mean((0, 2, 3)) - real_b.mean((0, 2, 3))).square().mean()
        self.optimisers["generator"].zero_grad()
        self.fabric.backward(loss)
        self.optimisers["generator"].step()
        return {"loss": loss.detach()}
'''

PAPER = """
title: Another paper
authors: Nobody et al.
venue: WACV 2027
source: a test
columns:
  patchy: {label: Patchy, datasets: [nh-haze]}
tables:
  other1:
    title: Table 1. Two systems
    columns: [patchy]
    metrics: [psnr]
    rows:
      dcp: {label: DCP}
      small: {label: Small, system: aodnet}
"""
CELLS = """row,column,metric,unit,better,printed
other1/dcp,patchy,psnr,dB,higher,10.0
other1/small,patchy,psnr,dB,higher,12.5
"""
CLAIMS = "- {text: the small one is better, row: other1/small, beats: [dcp], columns: [patchy], metrics: [psnr]}\n"


def ledger(checkout: Checkout, **wanted: str) -> list[dict[str, Any]]:
    """Entries of the ledger of 'tiny' with these values."""
    entries = json.loads((checkout.folder / "results/tiny/ledger.json").read_text())
    return [e for e in entries if all(e[key] == value for key, value in wanted.items())]


def test_a_dehazer_is_one_file_and_one_run(checkout: Checkout) -> None:
    checkout.write("reprolib/models/dehazing/toynet.py", DEHAZER)
    small = {"channels": 8, "depth": 1}
    checkout.profile({"toynet": {"network": small, "runs": {"toynet-nh": {"dataset": "nh-haze"}}}})
    checkout.through("toynet")
    (psnr,) = ledger(checkout, row="table1/toynet", metric="psnr", dataset="nh-haze")
    assert psnr["value"] is not None and psnr["label"] == "ToyNet [2]" and psnr["paper_value"] is None
    (size,) = ledger(checkout, row="table1/toynet", metric="params")
    assert size["value"] == 64 * 27 + 64 + 4 * (64 * 64 * 9 + 64) + 64 * 27 + 3
    (record,) = [r for r in json.loads((checkout.folder / "results/tiny/records/toynet/toynet-nh.json").read_text())
                 if r["metric"] == "psnr"]
    assert record["reduced"] and record["params_built"] < record["params"] and record["steps"] == 2
    assert "ToyNet [2]" in (checkout.folder / "results/tiny/tables/table1.md").read_text()
    assert "ToyNet [2]" in (checkout.folder / "results/tiny/README.md").read_text()
    assert "toynet" in checkout.reprolib("systems", "--json")


def test_a_translator_with_its_own_training_is_two_files_and_one_run(checkout: Checkout) -> None:
    layouts.install(checkout.folder, ["horse2zebra"], n=45)  # one in twenty validates
    random_vgg16(checkout.folder / "weights" / "vgg16.safetensors")
    checkout.write("reprolib/models/translation/toycolour.py", TRANSLATOR)
    checkout.write("reprolib/training/translation/toymethod.py", METHOD)
    checkout.profile({"toycolour": {"runs": {"toy-horses": {"dataset": "horse2zebra"}}}})
    checkout.through("toycolour")
    assert [e for e in ledger(checkout, row="cut/toycolour", dataset="horse2zebra") if e["value"] is not None]
    assert "unknown setting" in misspelt(checkout, {"objective": {"wieght": 2.0}})


def misspelt(checkout: Checkout, settings: dict[str, Any]) -> str:
    """What is said of a setting that does not exist: one line with the file and the nearest one."""
    checkout.profile({"toycolour": {**settings, "runs": {"toy-horses": {"dataset": "horse2zebra"}}}})
    said = checkout.reprolib("train", "toycolour", "--profile", "tiny", fails=True).strip()
    assert "\n" not in said and "weight" in said and "profiles/tiny/params.yaml" in said
    return said


def test_a_real_dataset_is_one_manifest(checkout: Checkout) -> None:
    checkout.write("reprolib/data/manifests/my-haze.yaml", (
        "title: My haze\ntask: dehazing\nlicence: mine\ncitation: me\npairing: hazy/N.png belongs to clear/N.png\n"
        "splits:\n  train: {pairs: 3, ids: [1, 3]}\n  val: {pairs: 1, ids: [4, 4]}\n  test: {pairs: 2, ids: [5, 6]}\n"))
    make_pairs(checkout, "downloads/mine", 6)
    checkout.reprolib("data", "register", "my-haze", "downloads/mine")
    checkout.reprolib("data", "verify", "my-haze", "--full")
    checkout.profile({"aodnet": {"runs": {"aodnet-mine": {"dataset": "my-haze"}}}})
    checkout.through("aodnet")
    records = json.loads((checkout.folder / "results/tiny/records/aodnet/aodnet-mine.json").read_text())
    assert {r["n"] for r in records} == {2} and {r["dataset"] for r in records} == {"my-haze"}
    said = json.loads(checkout.reprolib("evaluate", "dcp", "--dataset", "my-haze", "--json"))
    assert said["n"] == 2 and said["hazy_psnr"] < 40


def make_pairs(checkout: Checkout, folder: str, count: int) -> None:
    import numpy as np

    from reprolib.data.images import write_png

    random = np.random.default_rng(0)
    for i in range(1, count + 1):
        clear = random.integers(0, 200, (32, 40, 3), dtype=np.uint8)
        write_png(checkout.folder / folder / "clear" / f"{i}.png", clear)
        write_png(checkout.folder / folder / "hazy" / f"{i}.png", clear // 2 + 100)


def test_settings_of_cr_stand_in_the_profile_alone_and_in_the_record(checkout: Checkout) -> None:
    random_vgg16(checkout.folder / "weights" / "vgg16.safetensors")
    contrast = {"weight": 0.2, "rate": "1:2", "layer_weights": [0.0, 0.0, 0.0, 0.0, 1.0], "features": "vgg16"}
    checkout.profile({"aecrnet": {"network": {"width": 4, "blocks": 1}, "runs": {
        "ours": {"dataset": "nh-haze", "contrast": contrast, "rows": []}}}})
    checkout.through("aecrnet")
    records = json.loads((checkout.folder / "results/tiny/records/aecrnet/ours.json").read_text())
    kept = records[0]["contrast"]
    assert {key: kept[key] for key in contrast} == contrast


def random_vgg16(path: Any) -> None:
    import torch

    from reprolib.contrast.features import VGGFeatures
    from reprolib.models.weights import save_weights

    torch.manual_seed(0)
    taps = ((1, 2), (2, 2), (3, 3), (4, 3), (5, 1))
    save_weights(VGGFeatures("vgg16", taps=taps).state_dict(), path)


def test_a_metric_is_one_file_and_one_line(checkout: Checkout) -> None:
    checkout.write("reprolib/metrics/worst.py", '''
"""Largest absolute error of a pixel."""

import numpy as np

from reprolib.metrics import Metric


def worst(restored_HW3: np.ndarray, clear_HW3: np.ndarray) -> float:
    return float(np.abs(restored_HW3.clip(0, 1) - clear_HW3).max())


METRIC = Metric(name="worst", label="worst error", unit="", better="lower", decimals=3, range=(0.0, 1.0),
                of="pictures", function=worst)
''')
    metrics = next(line for line in (checkout.folder / "reprolib/papers/aecrnet/paper.yaml").read_text().splitlines()
                   if line.strip().startswith("metrics: [psnr, ssim, "))
    checkout.replace("reprolib/papers/aecrnet/paper.yaml", metrics, metrics.replace("[psnr,", "[psnr, worst,"))
    checkout.profile({"dcp": {"steps": 0, "runs": {"dcp-nh": {"dataset": "nh-haze"}}}})
    checkout.through("dcp")
    (entry,) = ledger(checkout, row="table1/dcp", metric="worst", dataset="nh-haze")
    assert 0 < entry["value"] <= 1 and entry["paper_value"] is None
    assert "worst error" in (checkout.folder / "results/tiny/tables/table1.md").read_text()


def test_a_paper_is_one_folder(checkout: Checkout) -> None:
    checkout.write("reprolib/papers/other/paper.yaml", PAPER)
    checkout.write("reprolib/papers/other/cells.csv", CELLS)
    checkout.write("reprolib/papers/other/claims.yaml", CLAIMS)
    both = ["table1/dcp", "other1/dcp"]
    checkout.profile({"dcp": {"steps": 0, "runs": {"dcp-nh": {"dataset": "nh-haze", "rows": both}}},
                      "aodnet": {"runs": {"aodnet-nh": {"dataset": "nh-haze", "rows": ["other1/small"], "seeds": 2}}}})
    checkout.through("dcp", "aodnet")
    assert {e["printed"] for e in ledger(checkout, paper="other")} == {"10.0", "12.5"}
    assert all(e["value"] is not None for e in ledger(checkout, paper="other"))
    assert (checkout.folder / "results/tiny/tables/other1.md").is_file()
    found = json.loads(checkout.reprolib("claims", "--profile", "tiny", "--json"))
    claims = [c for c in found if c["table"] == "other1"]
    assert len(claims) == 1 and claims[0]["verdict"] in ("holds", "within noise", "does not hold")
    checkout.reprolib("report", "notebooks", "other1", "--profile", "tiny")
    notebook = (checkout.folder / "results/tiny/notebooks/other1.ipynb").read_text()
    assert "Two systems" in notebook and "12.5" in notebook
