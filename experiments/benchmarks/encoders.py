"""The table of location encoders: parameters, FLOPs, seams and speed.

    python experiments/benchmarks/encoders.py           # about four minutes on two cores
    python experiments/benchmarks/encoders.py --quick   # the first two, in seconds

The speed is that of embedding 4096 places in float32, the fastest of a few calls.
"""

import argparse
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed import config
from earth_embed.config import Combined
from earth_embed.encoders import published
from earth_embed.encoders.location import (
    build_location,
    flops_per_place,
    init_location,
    parameter_count,
)

BATCH = 4096

SPHERE2VEC = {"C": "", "C+": "", "M": "", "M+": "", "DFS": ", scales=8"}
ENCODERS = {
    "harmonics + SIREN": ("2311.17179", "LocationConfig(SphericalHarmonics(15), Siren())"),
    "SatCLIP, L = 10": ("2311.17179", "published.satclip(10)"),
    "SatCLIP, L = 40": ("2311.17179", "published.satclip(40)"),
    "GeoCLIP": ("2309.16020", "published.geoclip()"),
    "Climplicit style": ("2504.05089", "published.climplicit_style()"),
    "MIND style": ("MIND", "published.mind_style()"),
    "UniGeoCLIP style": ("UniGeoCLIP", "published.unigeoclip_style()"),
    "Fourier features on the sphere": ("2006.10739", "published.sphere_fourier()"),
    "Space2Vec, grid": ("2003.00824", 'LocationConfig(Space2Vec("grid"), ResidualMlp())'),
    "Space2Vec, theory": ("2003.00824", 'LocationConfig(Space2Vec("theory"), ResidualMlp())'),
    **{
        f"Sphere2Vec, {name}": (
            "2306.17624",
            f'LocationConfig(Sphere2Vec("{name}"{scales}), ResidualMlp())',
        )
        for name, scales in SPHERE2VEC.items()
    },
    "wrap": ("1906.05272", "LocationConfig(Wrap(), ResidualMlp())"),
    "unit vector": ("", "LocationConfig(Cartesian(), ResidualMlp())"),
    "hash grid": ("2201.05989", "LocationConfig(HashGrid(), Mlp((64, 64)))"),
    "spherical Voronoi": ("TTE", "LocationConfig(SphericalVoronoi(), Mlp((256,)))"),
    "harmonics beside a hash grid": (
        "",
        "LocationConfig(Concatenation((SphericalHarmonics(10), HashGrid())), Siren())",
    ),
}
"""Name → source (an arXiv number if there is one) and settings."""


def places_per_second(location):
    """Places embedded per second, after compilation."""
    params = jax.jit(lambda: init_location(location, 0))()
    module = build_location(location)
    embed = jax.jit(lambda params, lonlat: module.apply({"params": params}, lonlat))
    rng = np.random.default_rng(0)
    lonlat = jnp.asarray(rng.uniform((-180, -90), (180, 90), (BATCH, 2)), jnp.float32)
    jax.block_until_ready(embed(params, lonlat))
    times = []
    while len(times) < 3 or (sum(times) < 2 and len(times) < 50):
        start = time.perf_counter()
        jax.block_until_ready(embed(params, lonlat))
        times.append(time.perf_counter() - start)
    return BATCH / min(times)


def short(number):
    """A number with three significant digits and an SI prefix."""
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{prefix}"
    return f"{number:.3g}"


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only the first two encoders")
    count = 2 if parser.parse_args().quick else len(ENCODERS)
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}\n")
    print("| encoder | source | settings | parameters | FLOPs a place | seam | places/s |")
    print("|---" * 7 + "|")
    for name, (source, settings) in itertools.islice(ENCODERS.items(), count):
        location = eval(settings, {**vars(config), "published": published})
        single = location.parts[0] if isinstance(location, Combined) else location
        cells = [
            name,
            source,
            f"`{settings}`",
            short(parameter_count(location)),
            short(flops_per_place(location)),
            single.encoding.module(name="encoding").seam,
            short(places_per_second(location)),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
