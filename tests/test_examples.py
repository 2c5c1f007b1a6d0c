"""The examples run as they stand, and what they show holds."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from extractors import random_vgg

import reprolib


@pytest.fixture(autouse=True)
def _without_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("reprolib.contrast.features.load_features", random_vgg)
    monkeypatch.chdir(tmp_path)  # Lightning writes where it runs


def example(project: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", project / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_a_test(project: Path) -> None:
    listed = (project / "examples/README.md").read_text()
    for path in (project / "examples").glob("*.py"):
        assert f"]({path.name})" in listed and f'"{path.stem}"' in Path(__file__).read_text()


def test_a_plain_loop(project: Path) -> None:
    losses = example(project, "cr_in_pytorch").main("vgg16", steps=3)
    assert len(losses) == 3 and losses[-1] < losses[0]


def test_around_a_model_in_the_manner_of_basicsr(project: Path) -> None:
    module = example(project, "cr_around_basicsr")
    logs = module.main("vgg16", steps=2)
    assert all(set(log) == {"l_pix", "l_cr"} and all(map(math.isfinite, log.values())) for log in logs)
    model = module.DehazeModel(torch.nn.Conv2d(3, 3, 1), {"optim_g": {"lr": 1e-3}})
    model.feed_data({"lq": torch.rand(1, 3, 16, 16), "gt": torch.rand(1, 3, 16, 16)})
    assert set(model.optimize_parameters(0)) == {"l_pix"}, "without the option it is BasicSR's own step"


def test_in_lightning(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning", reason="pytorch-lightning is not installed")
    module = example(project, "cr_in_lightning")
    run = module.main("vgg16", steps=2, accelerator="cpu", logger=False, enable_progress_bar=False,
                      enable_model_summary=False, default_root_dir=tmp_path)
    saved = tmp_path / "run.ckpt"
    run.save_checkpoint(saved)
    names = torch.load(saved, weights_only=True)["state_dict"]
    assert set(names) == {"network.weight", "network.bias"}, "VGG is not saved"
    again = module.Dehazer.load_from_checkpoint(saved, network=torch.nn.Conv2d(3, 3, 3, padding=1), features="vgg16")
    assert torch.equal(again.network.weight, run.lightning_module.network.weight.cpu())


def test_patchnce_teaches_a_generator_of_ones_own(project: Path) -> None:
    losses = example(project, "patchnce_on_own_generator").main(steps=24)
    assert losses[0] == pytest.approx(math.log(64), abs=0.5), "a guess among 64 patches"
    assert losses[-1] < losses[0] - 0.2


def test_scores_of_ones_own_folder(project: Path) -> None:
    found = example(project, "score_own_outputs").main()
    assert found.n == 2 and len(found.protocols) > 1
    assert all(25 < means["psnr"] < 45 for means in found.protocols.values())


def test_torch_hub(project: Path) -> None:
    kept = list(sys.path)
    prior = torch.hub.load(str(project), "dehazer", "dcp", source="local")
    assert sys.path == kept and not prior.training
    assert prior(torch.rand(1, 3, 24, 24)).shape == (1, 3, 24, 24)


def test_names_that_stay() -> None:
    for name in reprolib.__all__:
        assert getattr(reprolib, name).__doc__, name
