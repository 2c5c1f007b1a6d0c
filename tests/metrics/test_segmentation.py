"""Segmentation scores by closed forms and an independent loop; the judge's sizes and its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from reprolib.data.images import write_png
from reprolib.data.labels import PALETTE, VOID, encode
from reprolib.data.unpaired import Domains, ImageFolder, open_domains
from reprolib.errors import UserError
from reprolib.metrics.segmentation import Confusion, load_segmenter, segment, segmentation_scores
from reprolib.training import segmentation
from reprolib.training.loop import learning_rate_factor
from reprolib.training.segmentation import LabelledBatches, nll, segmenter_experiment, train_segmenter


def loop(truths: list[np.ndarray], predictions: list[np.ndarray], classes: int) -> dict[str, float]:
    """The scores pixel by pixel, from sets of pixels and not from a matrix."""
    pixels = [(int(t), int(p)) for a, b in zip(truths, predictions, strict=True)
              for t, p in zip(a.ravel(), b.ravel(), strict=True)]
    kept = [(t, p) for t, p in pixels if t != VOID]
    ious, accuracies = [], []
    for c in range(classes):
        truth = {i for i, (t, _) in enumerate(kept) if t == c}
        predicted = {i for i, (_, p) in enumerate(kept) if p == c}
        if truth | predicted:
            ious.append(len(truth & predicted) / len(truth | predicted))
        if truth:
            accuracies.append(len(truth & predicted) / len(truth))
    right = sum(t == p for t, p in kept)
    return {"miou": 100 * np.mean(ious), "classacc": 100 * np.mean(accuracies),
            "pixacc": 100 * right / len(kept), "pixacc_void": 100 * right / len(pixels)}


def test_scores_agree_with_a_loop() -> None:
    random = np.random.default_rng(0)
    confusion, truths, predictions = Confusion(), [], []
    for _ in range(3):  # classes 15 to 18 never occur, 12 to 14 are only ever predicted
        truth = random.integers(0, 12, (9, 13)).astype(np.uint8)
        truth[random.random(truth.shape) < 0.2] = VOID
        predicted = np.where(random.random(truth.shape) < 0.4, truth, random.integers(0, 15, truth.shape))
        predicted = np.where(predicted == VOID, 3, predicted).astype(np.uint8)
        truths.append(truth)
        predictions.append(predicted)
        confusion.add(truth, predicted)
    assert confusion.scores() == pytest.approx(loop(truths, predictions, 19))
    assert confusion.matrix.sum() + confusion.void == 3 * 9 * 13


def test_closed_form() -> None:
    """Half of class 0 is taken for class 1, a quarter of the picture is void."""
    truth = np.array([[0, 0, 1, VOID]], np.uint8)
    confusion = Confusion()
    confusion.add(truth, np.array([[0, 1, 1, 5]], np.uint8))
    assert confusion.scores() == pytest.approx(
        {"miou": 50, "classacc": 75, "pixacc": 200 / 3, "pixacc_void": 50})
    assert confusion.matrix[0, 1] == 1 and confusion.matrix[1, 0] == 0  # rows are the truth


def test_one_matrix_over_all_pictures_is_not_a_mean_over_pictures() -> None:
    confusion = Confusion()
    confusion.add(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    confusion.add(np.zeros((1, 3), np.uint8), np.ones((1, 3), np.uint8))
    assert confusion.scores()["classacc"] == pytest.approx(25)


def test_nothing_but_void() -> None:
    confusion = Confusion()
    confusion.add(np.full((2, 2), VOID, np.uint8), np.zeros((2, 2), np.uint8))
    scores = confusion.scores()
    assert all(np.isnan(scores[name]) for name in ("miou", "classacc", "pixacc")) and scores["pixacc_void"] == 0


@pytest.mark.parametrize(("truth", "predicted", "message"), [
    (np.zeros((2, 2)), np.zeros((2, 3)), "label map of .2, 2. against"),
    (np.full((2, 2), 30), np.zeros((2, 2)), "label map with labels from 30"),
    (np.zeros((2, 2)), np.full((2, 2), 19), "prediction with labels from 19"),
])
def test_bad_labels(truth: np.ndarray, predicted: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Confusion().add(truth.astype(np.uint8), predicted.astype(np.uint8))


class Painter(nn.Module):
    """A perfect segmenter of pictures that are painted in the palette; 8 x 16 pixels."""

    size = (8, 16)

    def __init__(self) -> None:
        super().__init__()
        self.palette = nn.Parameter(torch.from_numpy(PALETTE).float() / 255)
        self.saw: list[Tensor] = []

    def forward(self, x_B3HW: Tensor) -> Tensor:
        self.saw.append(x_B3HW)
        return -(x_B3HW[:, None] - self.palette[None, :, :, None, None]).square().sum(2)


def test_judged_at_the_segmenters_size() -> None:
    """Photo bicubic, truth nearest, by Pillow; a label map is its own perfect photo where resizing adds no colours."""
    random = np.random.default_rng(0)
    label = random.integers(0, 19, (8, 16)).astype(np.uint8).repeat(4, 0).repeat(2, 1)
    label[:4, :2] = VOID
    photo = random.integers(0, 256, (*label.shape, 3), dtype=np.uint8)
    painter = Painter()
    predicted = segment(painter, photo)
    assert predicted.shape == (8, 16)
    bicubic = np.asarray(Image.fromarray(photo).resize((16, 8), Image.Resampling.BICUBIC))
    assert torch.equal(painter.saw[0][0], torch.from_numpy(bicubic.copy()).permute(2, 0, 1).float() / 255)

    confusion = Confusion()
    confusion.add(label[::4, ::2], predicted)  # blocks of one label: any nearest rule picks these
    by_ids = segmentation_scores(painter, [photo], [label])
    assert by_ids == {**confusion.scores(), "n": 1, "ambiguous": 0.0}
    assert segmentation_scores(painter, [photo], [encode(label)]) == by_ids

    small = encode(random.integers(0, 19, (8, 16)).astype(np.uint8))
    assert segmentation_scores(painter, [small], [small])["miou"] == 100


def test_counts_ambiguous_colours() -> None:
    painted = np.tile(PALETTE[0], (8, 16, 1))
    painted[:2] = PALETTE[[0, 1]].mean(0)  # halfway between two classes
    assert segmentation_scores(Painter(), [painted], [painted])["ambiguous"] == 25


def test_as_many_maps_as_photos() -> None:
    with pytest.raises(UserError, match="0 photos against 1"):
        segmentation_scores(Painter(), [], [np.zeros((8, 16), np.uint8)])


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


SETTINGS = {"network": {"width": 2, "size": (32, 32)}, "crop": 24, "batch": 4, "steps": 80, "learning_rate": 0.05,
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


def test_trains_and_is_loaded_as_a_judge(dataset: Path, tmp_path: Path) -> None:
    at = train_segmenter("cityscapes", "test", SETTINGS, root=tmp_path, data_root=dataset, accelerator="cpu")
    folder = tmp_path / "checkpoints" / "test" / "segmenter-cityscapes"
    assert at.step == 80 and not list((tmp_path / "runs").rglob("*.pt"))
    judge = load_segmenter(folder / "last.safetensors")
    assert judge.size == (32, 32)
    domains = open_domains("cityscapes", "test", root=dataset)
    scores = segmentation_scores(judge, list(domains.b), list(domains.a))
    untrained = segmentation_scores(type(judge)(width=2, size=(32, 32)), list(domains.b), list(domains.a))
    assert scores["pixacc"] > max(60, untrained["pixacc"])


def test_stopped_and_resumed_is_bit_identical(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, moments and running statistics of the norms come back; the loop's own tests kill it for real."""
    settings = {**SETTINGS, "steps": 12, "save_every": 5}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = {"resume": True, "data_root": dataset, "accelerator": "cpu"}
    train_segmenter("cityscapes", "test", settings, root=whole, **options)

    step = segmentation.SegmentationTask.step

    def stopped(task: segmentation.SegmentationTask, fabric: Any, batch: Any, number: int, generator: Any) -> Any:
        if number == 8:
            raise KeyboardInterrupt
        return step(task, fabric, batch, number, generator)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(segmentation.SegmentationTask, "step", stopped)
        train_segmenter("cityscapes", "test", settings, root=broken, **options)
    assert (broken / "runs" / "test" / "segmenter-cityscapes.pt").is_file()
    resumed = train_segmenter("cityscapes", "test", settings, root=broken, **options)
    assert resumed.step == 12
    a, b = (load_file(f / "checkpoints" / "test" / "segmenter-cityscapes" / "last.safetensors")
            for f in (whole, broken))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_published_recipe() -> None:
    experiment = segmenter_experiment("cityscapes", "paper", {})
    assert (experiment.batch, experiment.learning_rate, experiment.steps) == (32, 0.01, 23_000)
    assert experiment.optimiser.momentum == 0.9 and experiment.optimiser.weight_decay == 1e-4
    steps_per_epoch = 92
    for epoch, factor in ((0, 1), (99, 1), (100, 0.1), (199, 0.1), (200, 0.01), (249, 0.01)):
        assert learning_rate_factor(experiment.schedule, epoch * steps_per_epoch, 23_000) == pytest.approx(factor)


def test_starts_from_imagenet_weights(dataset: Path, tmp_path: Path) -> None:
    """The released classifier's names: layer0 to layer8, and fc, which is left out."""
    network = segmentation.DRND22(width=2, size=(32, 32))
    released = {f"layer{name}": torch.full_like(t, 0.5) if t.is_floating_point() else t
                for name, t in network.base.state_dict().items()}
    torch.save({**released, "fc.weight": torch.zeros(1000, 64, 1, 1), "fc.bias": torch.zeros(1000)}, tmp_path / "w.pth")
    settings = {**SETTINGS, "steps": 1, "learning_rate": 0.0}
    train_segmenter("cityscapes", "test", settings, root=tmp_path, data_root=dataset, imagenet=tmp_path / "w.pth",
                    accelerator="cpu")
    kept = load_file(tmp_path / "checkpoints" / "test" / "segmenter-cityscapes" / "last.safetensors")
    assert all(torch.equal(t, torch.full_like(t, 0.5)) for name, t in kept.items()
               if name.startswith("base.") and name.endswith("weight"))


def test_bad_settings(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="setting of the segmenter in profile 'mini': 'step'.*did you mean 'steps'"):
        segmenter_experiment("cityscapes", "mini", {"step": 3})
    domains = open_domains("cityscapes", "train", root=dataset)
    for crop, batch, message in ((20, 2, "multiple of 8"), (64, 2, "a crop of 64"), (24, 7, "a batch of 7 from 6")):
        with pytest.raises(UserError, match=message):
            LabelledBatches(domains, (32, 32), crop, batch, 1, 0)
    loose = Domains(ImageFolder(domains.a.files), ImageFolder(domains.b.files))
    with pytest.raises(UserError, match="without a common order"):
        LabelledBatches(loose, (32, 32), 24, 2, 1, 0)
    with pytest.raises(UserError, match="no trained segmenter .*train-segmenter"):
        load_segmenter(tmp_path / "last.safetensors")
