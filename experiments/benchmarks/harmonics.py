"""Spherical harmonics and the location encoder: accuracy, speed beside SatCLIP's, memory.

    pip install -e ".[benchmark]"
    python experiments/benchmarks/harmonics.py           # about three minutes on two cores
    python experiments/benchmarks/harmonics.py --quick   # only L = 10, in seconds

The peer is SatCLIP's published "analytic" encoder in PyTorch: a generated formula per harmonic and
a SIREN, in float64. Both run in turns in one process; the fastest of several turns counts.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import torch

from earth_embed.encoders.harmonics import products, streamed
from earth_embed.encoders.harmonics.basis import harmonics_dense, spherical_harmonics
from earth_embed.encoders.location import build_location, init_location
from earth_embed.encoders.published import satclip
from earth_embed.encoders.sine import sine
from peers.satclip import SatClip
from timing import in_turns, matmul_rate

POINTS = 10_000
BATCH = 2048
PEER_UP_TO = 40
"""At L = 100 the peer's 10,000 TorchScript functions took over 24 GB of memory."""


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    quick = parser.parse_args().quick
    rate = matmul_rate()
    print(f"Matrix products in float32 on this machine: {rate / 1e9:.0f} GFLOP/s.\n")
    accuracy((10,) if quick else (10, 40, 100, 512, 1024))
    speed((10,) if quick else (10, 40, 100), rate, rounds=2 if quick else 5)
    alternatives((10,) if quick else (40, 100, 128, 256))
    if not quick:
        memory()


def accuracy(degrees):
    """The largest float32 error over all harmonics at 60 points, including the poles and ±180°."""
    print("| L | greatest error in float32 | textbook recurrence in float32 |\n|---|---|---|")
    rng = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, 50)))
    lat = np.concatenate([[90, -90, 89.9999, 89.99, 89.9, -89.5, 89, 80, 45, 0], lat])
    lon = np.concatenate([[180, -180, 179.9999], rng.uniform(-180, 180, len(lat) - 3)])
    lonlat = np.stack([lon, lat], axis=1).astype(np.float32)
    for degree in degrees:
        # In float64 it agrees with scipy to 1e-12 at L = 30. The tests compare float32 with a
        # recurrence in extended precision.
        with jax.enable_x64(True):
            exact = np.asarray(evaluate(lonlat.astype(np.float64), degree))
        error = np.abs(np.asarray(evaluate(lonlat, degree)) - exact).max()
        with np.errstate(all="ignore"):
            textbook = np.abs(np.nan_to_num(textbook_harmonics(lonlat, degree)) - exact).max()
        shown = f"{textbook:.1e}" if textbook < 1 else "useless"
        print(f"| {degree} | {error:.1e} | {shown} |", flush=True)
    print()


def evaluate(lonlat, degree):
    """All harmonics, by a compiled function."""
    return jax.jit(lambda x: spherical_harmonics(x, degree))(lonlat)


def textbook_harmonics(lonlat, degree):
    """The fully normalised recurrence as it is usually written, in NumPy float32."""
    lon, lat = np.radians(lonlat).T
    sin_lat, cos_lat = np.sin(lat), np.cos(lat)
    out = np.zeros((len(lonlat), degree**2), np.float32)
    seed = np.full(len(lat), np.sqrt(1 / (4 * np.pi)), np.float32)
    for m in range(degree):
        if m:
            seed = seed * np.float32(np.sqrt((2 * m + 1) / (2 * m))) * cos_lat
        now, before = seed, np.zeros_like(seed)
        for ell in range(m, degree):
            if ell > m:
                a = np.float32(np.sqrt((4 * ell**2 - 1) / (ell**2 - m**2)))
                b = np.float32(np.sqrt(((ell - 1) ** 2 - m**2) / (4 * (ell - 1) ** 2 - 1)))
                now, before = a * (sin_lat * now - b * before), now
            middle = ell * (ell + 1)
            if m == 0:
                out[:, middle] = now
            else:
                root2 = np.float32(np.sqrt(2))
                out[:, middle + m] = root2 * now * np.cos(m * lon)
                out[:, middle - m] = root2 * now * np.sin(m * lon)
    return out


def speed(degrees, rate, rounds):
    """Points per second of basis + SIREN (512, 512 → 256), ours and the peer's, in turns."""
    print(f"Basis + SIREN at {POINTS} points, points/s:\n")
    print(
        "| L | earth_embed | SatCLIP, PyTorch | ratio | the peer's basis | share of matmul rate |"
    )
    print("|---" * 6 + "|")
    lonlat = random_lonlat(POINTS)
    for degree in degrees:
        location = satclip(degree)
        params = jax.jit(lambda location=location: init_location(location, 0))()
        module = build_location(location)
        apply = jax.jit(lambda p, x, module=module: module.apply({"params": p}, x))

        def ours(apply=apply, params=params):
            parts = range(0, POINTS, BATCH)
            return [apply(params, lonlat[i : i + BATCH]) for i in parts]

        compared = "– | – | –"
        if degree <= PEER_UP_TO:
            peer, tensor = SatClip(degree), torch.from_numpy(lonlat.astype(np.float64))

            @torch.inference_mode()
            def theirs(peer=peer, tensor=tensor):
                return peer(tensor)

            @torch.inference_mode()
            def their_basis(peer=peer, tensor=tensor):
                return peer.basis(tensor)

            sides = {"ours": ours, "theirs": theirs, "basis": their_basis}
            mine, other, basis = map(min, in_turns(sides, rounds).values())
            compared = (
                f"{POINTS / other:,.0f} | {other / mine:.1f} | {basis / other:.0%} of its time"
            )
        else:
            mine = min(in_turns({"ours": ours}, rounds)["ours"])
        flops = 2 * POINTS * (degree**2 * 512 + 512 * 512 + 512 * 256)
        print(
            f"| {degree} | {POINTS / mine:,.0f} | {compared} | {flops / mine / rate:.0%} |",
            flush=True,
        )
    print()


def alternatives(degrees):
    """Alternatives for harmonics @ kernel with 512 outputs; the first is the one in use."""
    count, width = 1024, 512
    forms = {
        "matrix products": by_products,
        "streamed recurrence": streamed.dense,
        "features, then product": lambda x, k, degree: spherical_harmonics(x, degree) @ k,
        "recurrence unrolled": unrolled,
        "products in bfloat16": in_bfloat16,
    }
    print(f"Ways to compute harmonics @ kernel, {count} points, {width} outputs, points/s:\n")
    print("| L |" + "".join(f" {name} |" for name in forms) + "\n|" + "---|" * (1 + len(forms)))
    lonlat = random_lonlat(count)
    for degree in degrees:
        kernel = jnp.full((degree**2, width), 1 / degree)
        cells = []
        for name, form in forms.items():
            if (name == "recurrence unrolled" and degree > 40) or (
                name != "streamed recurrence" and degree > 128
            ):
                cells.append("–")  # minutes to compile, or gigabytes
                continue
            function = jax.jit(lambda x, k, form=form, degree=degree: form(x, k, degree))
            times = in_turns({name: lambda f=function, k=kernel: f(lonlat, k)})
            cells.append(f"{count / min(times[name]):,.0f}")
        print(f"| {degree} | " + " | ".join(cells) + " |", flush=True)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1024, 1024)), jnp.float32)
    both = {"polynomial": jax.jit(sine), "library": jax.jit(jnp.sin)}
    times = in_turns({name: lambda f=f: f(x) for name, f in both.items()})
    polynomial, library = map(min, times.values())
    print(f"\n`jnp.sin` takes {library / polynomial:.0f} times as long as `encoders/sine.py`.\n")


def by_products(lonlat, kernel, degree):
    """The form in use up to L = 128."""
    return products.dense(lonlat, products.in_feature_order(kernel, degree), degree)


def in_bfloat16(lonlat, kernel, degree):
    """The same, with the last product in bfloat16."""
    return by_products(lonlat, kernel.astype(jnp.bfloat16), degree)


def unrolled(lonlat, kernel, degree):
    """The recurrence without a loop: each degree has its own code and exact width."""
    lon, lat = jnp.radians(lonlat[:, 0]), jnp.radians(lonlat[:, 1])
    angle = jnp.arange(degree, dtype=jnp.float32)[:, None] * lon
    cosines, sines = np.sqrt(2) * jnp.cos(angle), np.sqrt(2) * jnp.sin(angle)
    now = jnp.full((1, len(lon)), np.sqrt(1 / (4 * np.pi)), jnp.float32)
    before, rows = jnp.zeros_like(now), []
    for ell in range(degree):
        if ell:
            m = np.arange(ell)[:, None]
            a = np.sqrt((4 * ell**2 - 1) / (ell**2 - m**2)).astype(np.float32)
            b = np.sqrt(np.maximum((ell - 1) ** 2 - m**2, 0) / max(4 * (ell - 1) ** 2 - 1, 1))
            inner = a * (jnp.sin(lat) * now - b.astype(np.float32) * before)
            last = now[-1:] * np.float32(np.sqrt((2 * ell + 1) / (2 * ell))) * jnp.cos(lat)
            before = jnp.concatenate([now, jnp.zeros_like(last)])
            now = jnp.concatenate([inner, last])
        rows += [now[:0:-1] * sines[ell:0:-1], now[:1], now[1:] * cosines[1 : ell + 1]]
    return jnp.concatenate(rows).T @ kernel


def memory():
    """Memory that the fused form needs, including arguments and results."""
    print("| L | points | outputs | all features would take | value and gradient, in all |")
    print("|---" * 5 + "|")
    for degree, count, width in ((512, 4096, 256), (1024, 2048, 64)):
        kernel = jax.ShapeDtypeStruct((degree**2, width), jnp.float32)
        lonlat = jax.ShapeDtypeStruct((count, 2), jnp.float32)

        def loss(kernel, lonlat, degree=degree):
            return jnp.sum(harmonics_dense(lonlat, kernel, degree) ** 2)

        found = jax.jit(jax.value_and_grad(loss)).lower(kernel, lonlat).compile().memory_analysis()
        total = found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes
        features = 4 * count * degree**2
        print(f"| {degree} | {count} | {width} | {features >> 20} MiB | {total >> 20} MiB |")


def random_lonlat(count):
    """Points drawn uniformly on the sphere, float32 degrees."""
    rng = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return np.stack([rng.uniform(-180, 180, count), lat], axis=1).astype(np.float32)


if __name__ == "__main__":
    main()
