"""Training the network that scores label maps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reprolib.data.images import read_rgb, write_png
from reprolib.data.labels import VOID, encode
from reprolib.data.unpaired import Domains, ImageFolder, open_domains
from reprolib.errors import UserError
from reprolib.metrics.pixacc import pixacc
from reprolib.metrics.segmentation import confusion_of, load_segmenter
from reprolib.runs.places import Places
from reprolib.training import segmentation
from reprolib.training.optimisation import learning_rate_factor
from reprolib.training.segmentation import LabelledBatches, nll, segmenter_run, train_segmenter


def test_loss_leaves_void_out() -> None:
    scores = torch.randn(2, 19, 3, 4, requires_grad=True)
    labels = torch.randint(0, 19, (2, 3, 4))
    labels[0, 0] = VOID
    loss = nll(scores.log_softmax(1), labels)
    expected = [-scores[b, :, r, q].log_softmax(0)[labels[b, r, q]]
                for b in range(2) for r in range(3) for q in range(4) if labels[b, r, q] != VOID]
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)
    loss.backward()
    assert scores.grad is not None and scores.grad[0, :, 0].abs().max() == 0
    assert nll(scores.log_softmax(1), torch.full_like(labels, VOID)).item() == 0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Street scenes of three bands (sky, building, road) in noisy colours of their own; photo left, label map right."""
    random = np.random.default_rng(0)
    colours = np.array([(90, 90, 90), (160, 120, 90), (150, 190, 240)])  # road, building, sky
    root = tmp_path_factory.mktemp("labelled")
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for index in range(count):
            heights = np.sort(random.integers(4, 28, 2))
            rows = np.repeat([2, 1, 0], np.diff([0, *heights, 32]))
            bands = np.repeat(rows[:, None], 32, axis=1)
            photo = (colours[bands] + random.normal(0, 8, (32, 32, 3))).clip(0, 255).astype(np.uint8)
            label = encode(np.array([0, 2, 10], np.uint8)[bands])
            write_png(root / split / f"{index}.png", np.concatenate((photo, label), axis=1))
    return root


SETTINGS = {"network": {"width": 2, "size": [32, 32]}, "crop": 24, "batch": 4, "steps": 80, "learning_rate": 0.05,
            "validate_every": 80, "save_every": 80}


def test_batches_are_crops_of_matching_pixels(dataset: Path) -> None:
    """Every photo pixel still lies nearest to its own label's colour, whatever was cropped or flipped."""
    domains = open_domains("cityscapes", "train", root=dataset)
    batches = LabelledBatches(domains, (32, 32), crop=24, batch=4, steps=3, seed=0)
    colours = torch.tensor([(90, 90, 90), (160, 120, 90), (150, 190, 240)]) / 255
    seen = []
    for step in range(3):
        photos, labels = batches[step]
        assert photos.shape == (4, 3, 24, 24) and labels.shape == (4, 24, 24) and labels.dtype == torch.int64
        nearest = (photos[:, None] - colours[None, :, :, None, None]).square().sum(2).argmin(1)
        assert torch.equal(torch.tensor([0, 2, 10])[nearest], labels)
        seen.append(photos)
    assert torch.equal(batches[1][0], seen[1]) and not torch.equal(seen[0], seen[1])


def test_trains_and_is_loaded(dataset: Path, tmp_path: Path) -> None:
    run = segmenter_run("cityscapes", "test", SETTINGS)
    trained = train_segmenter(run, root=tmp_path, data_root=dataset, accelerator="cpu")
    assert trained.steps == 80 and trained.fresh and trained.folder == Places(run, tmp_path).checkpoint
    assert not train_segmenter(run, root=tmp_path, data_root=dataset, accelerator="cpu").fresh, "once is enough"
    segmenter = load_segmenter(trained.folder / "last.safetensors")
    assert segmenter.size == (32, 32)
    domains = open_domains("cityscapes", "test", root=dataset)
    after, before = (pixacc(confusion_of(network, list(domains.b), list(domains.a)))
                     for network in (segmenter, type(segmenter)(width=2, size=(32, 32))))
    assert after > max(60, before)


def test_stopped_and_resumed_is_bit_identical(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, moments and running statistics of the norms come back; the loop's own tests kill it for real."""
    run = segmenter_run("cityscapes", "test", {**SETTINGS, "steps": 12, "save_every": 5})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_segmenter(run, root=whole, data_root=dataset, accelerator="cpu")

    step = segmentation.SegmentationTask.step

    def stopped(task: segmentation.SegmentationTask, fabric: Any, batch: Any, number: int, generator: Any) -> Any:
        if number == 8:
            raise KeyboardInterrupt
        return step(task, fabric, batch, number, generator)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(segmentation.SegmentationTask, "step", stopped)
        train_segmenter(run, root=broken, data_root=dataset, accelerator="cpu")
    assert Places(run, broken).state.is_file()
    resumed = train_segmenter(run, root=broken, data_root=dataset, accelerator="cpu")
    assert resumed.steps == 12
    a, b = (load_file(Places(run, root).weights) for root in (whole, broken))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_kind_34_a_segmenter_of_other_pictures_is_trained_anew(dataset: Path, tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    """It always goes on where it stopped, but never with other pictures."""
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    changed = sorted(other.rglob("train/*.png"))[0]
    write_png(changed, read_rgb(changed)[::-1])
    run = segmenter_run("cityscapes", "test", {**SETTINGS, "steps": 2})
    train_segmenter(run, root=tmp_path, data_root=dataset, accelerator="cpu")
    assert train_segmenter(run, root=tmp_path, data_root=other, accelerator="cpu").fresh
    assert f"cityscapes/train (1 file changed (ab/{changed.name}))" in " ".join(capsys.readouterr().err.split())


def test_published_recipe() -> None:
    run = segmenter_run("cityscapes", "paper", {})
    assert (run.batch, run.learning_rate, run.steps) == (32, 0.01, 23_000)
    assert run.optimiser.momentum == 0.9 and run.optimiser.weight_decay == 1e-4
    steps_per_epoch = 92
    for epoch, factor in ((0, 1), (99, 1), (100, 0.1), (199, 0.1), (200, 0.01), (249, 0.01)):
        assert learning_rate_factor(run.schedule, epoch * steps_per_epoch, 23_000) == pytest.approx(factor)


def test_starts_from_imagenet_weights(dataset: Path, tmp_path: Path) -> None:
    """The released classifier's names: layer0 to layer8, and fc, which is left out."""
    network = segmentation.DRND22(width=2, size=(32, 32))
    released = {f"layer{name}": torch.full_like(t, 0.5) if t.is_floating_point() else t
                for name, t in network.base.state_dict().items()}
    torch.save({**released, "fc.weight": torch.zeros(1000, 64, 1, 1), "fc.bias": torch.zeros(1000)}, tmp_path / "w.pth")
    run = segmenter_run("cityscapes", "test", {**SETTINGS, "steps": 1, "learning_rate": 1e-9})
    train_segmenter(run, root=tmp_path, data_root=dataset, imagenet=tmp_path / "w.pth", accelerator="cpu")
    kept = load_file(Places(run, tmp_path).weights)
    assert all(torch.allclose(t, torch.full_like(t, 0.5), atol=1e-6) for name, t in kept.items()
               if name.startswith("base.") and name.endswith("weight"))


def test_bad_settings(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="setting of the segmenter in profile 'mini': 'step'.*did you mean 'steps'"):
        segmenter_run("cityscapes", "mini", {"step": 3})
    domains = open_domains("cityscapes", "train", root=dataset)
    for crop, batch, message in ((20, 2, "multiple of 8"), (64, 2, "a crop of 64"), (24, 7, "a batch of 7 from 6")):
        with pytest.raises(UserError, match=message):
            LabelledBatches(domains, (32, 32), crop, batch, 1, 0)
    loose = Domains(ImageFolder(domains.a.files), ImageFolder(domains.b.files))
    with pytest.raises(UserError, match="without a common order"):
        LabelledBatches(loose, (32, 32), 24, 2, 1, 0)
    with pytest.raises(UserError, match="no trained segmenter .*run `reprolib segmenter`"):
        load_segmenter(tmp_path / "last.safetensors")
