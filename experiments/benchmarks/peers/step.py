"""The library's training step in PyTorch, written for the benchmark.

A location tower, a linear projection per modality of frozen features, NT-Xent sample → location, a
learnable logit scale, AdamW. There are two location towers, which differ only in the basis:

    published    SatCLIP's: a generated formula per harmonic, in float64
    vectorised   the fastest we could write: a float32 recurrence over all points and orders at once

SatCLIP trains its whole location encoder in float64. Here everything after the basis is float32 in
both, which is faster, and AdamW is PyTorch's fused one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.satclip import SatClip, SirenNet


def published(degree: int, hidden: tuple[int, ...], features: int) -> LocationTower:
    """SatCLIP's basis as published."""
    satclip = SatClip(degree, hidden, features)
    return LocationTower(satclip.basis, satclip.nnet)


def vectorised(degree: int, hidden: tuple[int, ...], features: int) -> LocationTower:
    """The same functions, by `Recurrence`."""
    return LocationTower(Recurrence(degree), SirenNet(degree**2, hidden, features))


def tensors(examples: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, tuple[Tensor, Tensor]]:
    """A batch for `Step` of {NAME: {"sample": (B, n), "lonlat": (B, 2)}}."""
    return {
        name: (torch.from_numpy(values["sample"]), torch.from_numpy(values["lonlat"]))
        for name, values in examples.items()
    }


class LocationTower(nn.Module):
    """(lon, lat) in degrees → harmonics, which have no gradient → SIREN in float32."""

    def __init__(self, basis: Callable[[Tensor], Tensor], network: SirenNet):
        super().__init__()
        self.basis = basis
        self.nnet = network.float()

    def forward(self, lonlat: Tensor) -> Tensor:
        """(N, 2) degrees → (N, features)."""
        with torch.no_grad():
            basis = self.basis(lonlat).float()
        return self.nnet(basis)


class Recurrence:
    """SatCLIP's harmonics by the fully normalised Legendre recurrence over l, in float32.

    With x = cos θ, θ the colatitude from the south pole, and for m = 0 SatCLIP's factor π:

        P̄_mm = √((2m+1)/2m) sin θ P̄_m−1,m−1
        P̄_lm = √((4l²−1)/(l²−m²)) (x P̄_l−1,m − √(((l−1)²−m²)/(4(l−1)²−1)) P̄_l−2,m)
    """

    def __init__(self, degree: int):
        self._degree = degree
        self._factors = []
        for ell in range(1, degree):
            m = torch.arange(ell, dtype=torch.float64)[:, None]
            a = torch.sqrt((4 * ell**2 - 1) / (ell**2 - m**2))
            b = a * torch.sqrt(((ell - 1) ** 2 - m**2) / max(4 * (ell - 1) ** 2 - 1, 1))
            self._factors.append((a.float(), b.float()[:-1]))

    def __call__(self, lonlat: Tensor) -> Tensor:
        """(N, 2) degrees → (N, L²), a view of (L², N)."""
        degree = self._degree
        phi, theta = torch.deg2rad(lonlat + torch.tensor([180.0, 90.0])).unbind(-1)
        x, sine = torch.cos(theta), torch.sin(theta)  # (N,)
        angles = torch.arange(1, degree)[:, None] * phi
        azimuth = torch.cat(  # (2L−1, N): m = −(L−1) … L−1
            [
                math.sqrt(2) * torch.sin(angles).flip(0),
                torch.full_like(phi, math.pi)[None],
                math.sqrt(2) * torch.cos(angles),
            ]
        )
        out = torch.empty(degree**2, len(lonlat))
        before, now = None, torch.full((1, len(lonlat)), math.sqrt(1 / (4 * math.pi)))
        for ell in range(degree):  # now: (l+1, N), m = 0 … l
            if ell:
                a, b = self._factors[ell - 1]
                after = torch.empty(ell + 1, len(lonlat))
                torch.mul(a * x, now, out=after[:-1])
                if before is not None:
                    after[:-2] -= b * before
                torch.mul(now[-1], math.sqrt((2 * ell + 1) / (2 * ell)) * sine, out=after[-1])
                before, now = now, after
            middle = ell * (ell + 1)
            half = azimuth[degree - 1 :]
            torch.mul(now, half[: ell + 1], out=out[middle : middle + ell + 1])
            if ell:
                below = azimuth[degree - 1 - ell : degree - 1]
                torch.mul(now[1:].flip(0), below, out=out[middle - ell : middle])
        return out.T


class Step:
    """A training step on samples of any of its modalities.

    With one modality it is the pair step, which is also SALT's step of the active modality. With
    several it is MELT's, over all locations of the joint batch. Projections that a step does not
    use have no gradient, and AdamW does not change them.
    """

    def __init__(self, location: LocationTower, widths: Mapping[str, int], features: int):
        self.location = location
        self.projections = nn.ModuleDict({n: nn.Linear(w, features) for n, w in widths.items()})
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        towers = [*location.parameters(), *self.projections.parameters(), self.log_scale]
        groups = [
            {"params": [p for p in towers if p.ndim > 1]},
            {"params": [p for p in towers if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.01, fused=True)

    def __call__(self, batch: Mapping[str, tuple[Tensor, Tensor]]) -> float:
        """{NAME: (samples (B, n), lonlat (B, 2))} → the loss before the update."""
        samples = torch.cat([self.projections[name](x) for name, (x, _) in batch.items()])
        locations = self.location(torch.cat([lonlat for _, lonlat in batch.values()]))
        similarity = F.normalize(samples) @ F.normalize(locations).T  # (B, B)
        loss = F.cross_entropy(self.log_scale.exp() * similarity, torch.arange(len(samples)))
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(100))
        return loss.item()
