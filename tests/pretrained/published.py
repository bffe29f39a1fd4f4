"""Random weights with the names of the published ones, and the forward passes in float64.

Written from the papers' definitions, with SciPy's harmonics; nothing here uses the package.
"""

import numpy as np
from scipy.special import sph_harm_y


def dense(rng, name, inputs, outputs, bound):
    """One layer as PyTorch stores it, drawn from U(−bound, bound)."""
    return {
        f"{name}.weight": rng.uniform(-bound, bound, (outputs, inputs)),
        f"{name}.bias": rng.uniform(-bound, bound, outputs),
    }


def satclip_arrays(rng, degree, hidden=(12, 9), features=6):
    """SatCLIP's `nnet`, with SIREN's initial distribution."""
    widths = (degree**2, *hidden)
    arrays = {}
    for i, (inputs, outputs) in enumerate(zip(widths, hidden, strict=False)):
        bound = 1 / inputs if i == 0 else np.sqrt(6 / inputs)
        arrays |= dense(rng, f"layers.{i}", inputs, outputs, bound)
    return arrays | dense(rng, "last_layer", widths[-1], features, np.sqrt(6 / widths[-1]))


def satclip_basis(lonlat, degree, closed_form=False):
    """(N, L²): φ = lon + 180°, θ = lat + 90°; m = 0 is π times too large in the analytic form."""
    phi, theta = np.radians(np.asarray(lonlat, float) + np.array([180, 90])).T
    columns = []
    for ell in range(degree):
        for m in range(-ell, ell + 1):
            y = sph_harm_y(ell, abs(m), theta, phi)  # with the Condon–Shortley phase
            if m == 0:
                columns.append((1 if closed_form else np.pi) * y.real)
            else:
                sign = 1 if closed_form else (-1) ** m
                columns.append(sign * np.sqrt(2) * (y.imag if m < 0 else y.real))
    return np.stack(columns, axis=1)


def satclip_forward(arrays, lonlat, closed_form=False):
    """sin(30 (W x + b)), sin(W x + b), …, W x + b."""
    hidden = sum(name.endswith("weight") for name in arrays) - 1
    degree = int(np.sqrt(arrays["layers.0.weight"].shape[1]))
    x = satclip_basis(lonlat, degree, closed_form)
    for i in range(hidden):
        x = x @ arrays[f"layers.{i}.weight"].T + arrays[f"layers.{i}.bias"]
        x = np.sin((30 if i == 0 else 1) * x)
    return x @ arrays["last_layer.weight"].T + arrays["last_layer.bias"]


def geoclip_arrays(rng, sigmas=(1, 16, 256), frequencies=20, hidden=(16, 14, 12), features=6):
    """GeoCLIP's location encoder."""
    arrays = {}
    for i, sigma in enumerate(sigmas):
        b = sigma * rng.normal(size=(frequencies, 2))
        part = {"capsule.0.b": b / np.sqrt(np.mean(b**2)) * sigma}
        widths = (2 * frequencies, *hidden, features)
        names = ("capsule.1", "capsule.3", "capsule.5", "head.0")
        for name, inputs, outputs in zip(names, widths, widths[1:], strict=False):
            part |= dense(rng, name, inputs, outputs, np.sqrt(6 / inputs))
        arrays |= {f"LocEnc{i}.{name}": array for name, array in part.items()}
    return arrays


def equal_earth(latlon):
    """(N, 2) of (lat, lon) → (x, y), as GeoCLIP scales it."""
    lat, lon = np.radians(np.asarray(latlon, float)).T
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    theta = np.arcsin(np.sqrt(3) / 2 * np.sin(lat))
    slope = 9 * a4 * theta**8 + 7 * a3 * theta**6 + 3 * a2 * theta**2 + a1
    x = 2 * np.sqrt(3) * lon * np.cos(theta) / (3 * slope)
    y = a4 * theta**9 + a3 * theta**7 + a2 * theta**3 + a1 * theta
    return np.stack([x, y], axis=1) * 66.50336 / 180


def geoclip_forward(arrays, latlon):
    """The sum over the scales of a ReLU network on [cos 2πBv, sin 2πBv]."""
    total = 0
    for i in sorted({name.split(".")[0] for name in arrays}):
        phase = 2 * np.pi * equal_earth(latlon) @ arrays[f"{i}.capsule.0.b"].T
        x = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        for name in ("capsule.1", "capsule.3", "capsule.5"):
            x = np.maximum(x @ arrays[f"{i}.{name}.weight"].T + arrays[f"{i}.{name}.bias"], 0)
        total = total + x @ arrays[f"{i}.head.0.weight"].T + arrays[f"{i}.head.0.bias"]
    return total
