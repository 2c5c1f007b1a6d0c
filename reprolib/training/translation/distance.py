"""Training DistanceGAN: translation keeps distances, between pictures or within one (Benaim and Wolf, NeurIPS 2017)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from reprolib import distributed
from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.errors import UserError
from reprolib.models.translation.distancegan import DistanceGAN, DistanceObjective
from reprolib.training.optimisation import take_step
from reprolib.training.translation.gan import ImagePool, adam, discriminator_loss, frozen, least_squares
from reprolib.training.translation.method import Method

BATCHES = 900
"""Batches at most from which the statistics come, in the released code."""



@dataclass
class Statistics:
    """Mean and (population) standard deviation of the distances in each domain, of pixels in [-1, 1]."""

    mean_a: float = 0.0
    std_a: float = 0.0
    mean_b: float = 0.0
    std_b: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


class DistanceMethod(Method):
    """Generators' step, then discriminators' step on pools of fakes, in both directions; no cycle, no identity.

    The distance term asks that a distance in A, standardised with A's statistics, equals that of the translations,
    standardised with B's (paper, equations 7 and 9); d is the mean absolute difference.

    Raises:
        UserError: in `prepare` and in a step, batches of one picture where pairs are wanted; in `prepare`,
            no two different distances.
    """

    def __init__(self, networks: DistanceGAN, fabric: Fabric, learning_rate: float, objective: DistanceObjective):
        self.networks, self.fabric = networks, fabric
        self.pairs, self.two_sided = objective.pairs, objective.two_sided
        self.own_pass = objective.statistics == "domain"
        n = networks
        self.optimisers = {
            "generators": adam(learning_rate, n.generator_ab, n.generator_ba),
            "discriminators": adam(learning_rate, n.discriminator_a, n.discriminator_b),
        }
        self.statistics = Statistics()
        self.pool_a, self.pool_b = ImagePool(), ImagePool()
        self.extras = {"statistics": self.statistics, "pool_a": self.pool_a, "pool_b": self.pool_b}

    def prepare(self, batches: UnpairedBatches) -> None:
        """Statistics of the distances in the first epoch's batches as training sees them, 900 at most."""
        self._require_pairs(batches.batch)
        count = min(BATCHES, len(batches), batches.steps_per_epoch)
        domains = zip(*(batches[step] for step in range(count)), strict=True)
        for name, domain in zip("ab", domains, strict=True):
            own = len(getattr(batches.domains, name)) // batches.batch if self.own_pass else count
            distances = self._distances(list(domain)[:own])
            std = distances.std(correction=0).item() if len(distances) else 0.0
            if std == 0:
                raise UserError(f"the {own} batches of domain {name.upper()} have no two different distances",
                                fix="add pictures, or steps")
            setattr(self.statistics, f"mean_{name}", distances.mean().item())
            setattr(self.statistics, f"std_{name}", std)

    def _distances(self, batches: list[Tensor]) -> Tensor:
        """Distances in one domain: of all pairs of whole batches, as in the released code, or of halves in each batch.

        A pair of batches is one distance, the mean over its pairs of pictures at the same place of the batch.
        """
        if self.pairs == "halves":
            return torch.stack([half_distances(batch).mean() for batch in batches])
        rows_NP = torch.stack([batch.flatten() for batch in batches]).to(self.fabric.device)
        return torch.cat([(rows_NP[i] - rows_NP[i + 1 :]).abs().mean(1) for i in range(len(rows_NP))])

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of all networks; terms are summed over the directions, all of weight 1."""
        n, s = self.networks, self.statistics
        assert s.std_a > 0 and s.std_b > 0, "prepare comes before the first step"
        self._require_pairs(len(real_a) * distributed.count())
        a, b = (s.mean_a, s.std_a), (s.mean_b, s.std_b)
        ways = [(n.generator_ab, n.discriminator_b, real_a, real_b, self.pool_b, a, b)]
        if self.two_sided:
            ways.append((n.generator_ba, n.discriminator_a, real_b, real_a, self.pool_a, b, a))
        fakes, adversarial, distance = [], [], []
        for translate, discriminate, source, _, _, before, after in ways:
            with frozen(discriminate), self.fabric.autocast():
                fakes.append(translate(source))
                adversarial.append(least_squares(discriminate(fakes[-1]), 1.0))
            distance.append(self._change(source, fakes[-1].float(), before, after))
        terms = {"adversarial": torch.stack(adversarial).sum(), "distance": torch.stack(distance).sum()}
        loss = terms["adversarial"] + terms["distance"]
        self.optimisers["generators"].zero_grad()
        self.fabric.backward(loss)
        take_step(self.optimisers["generators"])

        terms["discriminator"] = torch.stack([
            discriminator_loss(self.fabric, discriminate, target, pool.exchange(fake, generator))
            for fake, (_, discriminate, _, target, pool, _, _) in zip(fakes, ways, strict=True)
        ]).sum()
        self.optimisers["discriminators"].zero_grad()
        self.fabric.backward(terms["discriminator"])
        take_step(self.optimisers["discriminators"])
        return {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def _require_pairs(self, batch: int) -> None:
        if self.pairs == "pictures" and batch < 2:
            raise UserError("Distance compares pairs of pictures, a batch has one",
                            fix="set batch to 2 or more, or train selfdistance")

    def _change(self, source: Tensor, fake: Tensor, before: tuple[float, float], after: tuple[float, float]) -> Tensor:
        """How much the standardised distances change in translation; scalar."""
        distances = half_distances
        if self.pairs == "pictures":  # of all processes' pictures
            distances, source, fake = pair_distances, distributed.gather(source), distributed.gather_with_gradient(fake)
        was, now = ((distances(x) - mean) / std for x, (mean, std) in ((source, before), (fake, after)))
        if self.pairs == "halves":  # the batch's mean change, as released: pictures that change opposite ways cancel
            return distributed.means([(was - now).mean()])[0].abs()
        return (was - now).abs().mean()


def pair_distances(x_BCHW: Tensor) -> Tensor:
    """Mean absolute difference of each of the B (B - 1) / 2 pairs of pictures."""
    first, second = torch.triu_indices(len(x_BCHW), len(x_BCHW), offset=1, device=x_BCHW.device)
    return (x_BCHW[first] - x_BCHW[second]).abs().mean((1, 2, 3))


def half_distances(x_BCHW: Tensor) -> Tensor:
    """Mean absolute difference of the top and the bottom half of each picture, B."""
    top, bottom = x_BCHW.chunk(2, dim=2)
    return (top - bottom).abs().mean((1, 2, 3))
