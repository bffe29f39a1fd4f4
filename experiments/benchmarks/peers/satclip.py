"""SatCLIP's location encoder in PyTorch, written from its definition, to compare with.

SatCLIP (arXiv 2311.17179) expands every harmonic into a formula with sympy, prints it with 15
digits and compiles each as its own function. This file does the same, so that its values, rounding
errors and cost are those of the published encoder. The formulas are kept in the user's cache
directory: all below L = 40 take about 10 s to derive, L = 100 minutes.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import sympy
import torch
from torch import Tensor, nn


class SatClip(nn.Module):
    """(lon, lat) in degrees → L² harmonics → SIREN → embedding; float64 throughout.

    Weights are named as in a released checkpoint, after its prefix "model.location.".
    """

    def __init__(self, degree: int, hidden: Sequence[int] = (512, 512), features: int = 256):
        super().__init__()
        self.harmonics = [function for ell in range(degree) for function in formulas(ell)]
        self.nnet = SirenNet(degree**2, hidden, features)

    def basis(self, lonlat: Tensor) -> Tensor:
        """(N, 2) degrees → (N, L²): l = 0 … L−1, within each m = −l … l.

        φ = lon + 180° and θ = lat + 90°: the colatitude is measured from the south pole.
        """
        phi, theta = torch.deg2rad(lonlat.double() + torch.tensor([180.0, 90.0])).unbind(-1)
        values = [harmonic(theta, phi) for harmonic in self.harmonics]
        values[0] = values[0] * torch.ones_like(phi)  # Y_00 is a plain number
        return torch.stack(values, dim=-1)

    def forward(self, lonlat: Tensor) -> Tensor:
        """(N, 2) degrees → (N, features)."""
        return self.nnet(self.basis(lonlat))


class SirenNet(nn.Module):
    """Hidden layers sin(w0 (W x + b)), w0 = 30 in the first and 1 in the others; then W x + b.

    Weights and biases are drawn from U(−c, c). For n inputs, c = 1/n in the first layer, √(6/n)/w0
    in the other hidden layers and √(6/n) in the last.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], features: int):
        super().__init__()
        widths = [inputs, *hidden]
        self.layers = nn.ModuleList(
            nn.Linear(n, out, dtype=torch.float64) for n, out in pairwise(widths)
        )
        self.last_layer = nn.Linear(widths[-1], features, dtype=torch.float64)
        for layer in (*self.layers, self.last_layer):
            n = layer.in_features
            bound = 1 / n if layer is self.layers[0] else (6 / n) ** 0.5
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.uniform_(layer.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) → (N, features)."""
        for i, layer in enumerate(self.layers):
            x = torch.sin((30.0 if i == 0 else 1.0) * layer(x))
        return self.last_layer(x)


def formula(ell: int, m: int) -> str:
    """Y_lm(θ, φ) as SatCLIP prints it: 15 significant digits.

    N = √((2l+1)/4π · (l−|m|)!/(l+|m|)!), and P_l^m in sympy carries the Condon–Shortley phase:

        m < 0:  (−1)^m √2 N P_l^|m|(cos θ) sin(|m|φ)
        m = 0:  √((2l+1)/4 · π) P_l(cos θ)                a slip of its "analytic" form: π, not 1/π
        m > 0:  (−1)^m √2 N P_l^m(cos θ) cos(mφ)
    """
    theta, phi = sympy.symbols("theta phi")
    order = abs(m)
    legendre = sympy.assoc_legendre(ell, order, sympy.cos(theta))
    if m == 0:
        # (2l+1)/4 is a float in SatCLIP too, which changes the last digit.
        return str((sympy.sqrt((2 * ell + 1) / 4 * sympy.pi) * legendre).evalf())
    factorials = sympy.factorial(ell - order) / sympy.factorial(ell + order)
    n = sympy.sqrt((2 * ell + 1) / (4 * sympy.pi) * factorials)
    azimuth = sympy.sin(order * phi) if m < 0 else sympy.cos(order * phi)
    return str(((-1) ** order * sympy.sqrt(2) * n * legendre * azimuth).evalf())


def formulas(ell: int) -> list[Callable[[Tensor, Tensor], Tensor | float]]:
    """The TorchScript functions (θ, φ) → Y_lm of one degree, m = −l … l."""
    path = _cache() / f"degree_{ell}.py"
    if not path.exists():
        functions = [
            f"@torch.jit.script\ndef order_{i}(theta, phi):\n    return {formula(ell, i - ell)}\n"
            for i in range(2 * ell + 1)
        ]
        names = ", ".join(f"order_{i}" for i in range(2 * ell + 1))
        text = "\n\n".join(["import torch\nfrom torch import cos, sin", *functions])
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")  # never visible half-written
        temporary.write_text(f"{text}\n\nFUNCTIONS = [{names}]\n")
        temporary.replace(path)
    spec = importlib.util.spec_from_file_location(f"satclip_degree_{ell}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FUNCTIONS


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "earth_embed" / f"satclip-sympy-{sympy.__version__}"
