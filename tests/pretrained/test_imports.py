"""Published weights become runs that compute what the published encoders do."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from earth_embed.cli import main
from earth_embed.config import SphericalHarmonics
from earth_embed.errors import CheckpointError, ConfigError, RunError
from earth_embed.evaluation.run import baselines
from earth_embed.pretrained import imports
from earth_embed.pretrained.encoder import LocationEncoder, load, untrained
from earth_embed.pretrained.imports import import_weights
from earth_embed.pretrained.published import satclip
from earth_embed.torchfiles import Weights
from earth_embed.training.run_dir import check_run, read_experiment
from tests.conftest import random_places
from tests.pretrained.published import (
    equal_earth,
    geoclip_arrays,
    geoclip_forward,
    satclip_arrays,
    satclip_basis,
    satclip_forward,
)
from tests.training.runs import contents

POLES_AND_SEAM = [[0, 90], [77, 90], [-150, -90], [180, -90], [0, 0], [180, 12], [-180, 12]]


def places():
    """Exact in float32, so that the references see the same places."""
    lonlat = np.concatenate([random_places(np.random.default_rng(5), 60), POLES_AND_SEAM])
    return lonlat.astype(np.float32)


def write(path, arrays, prefixes=("",), dtype=np.float32):
    """A safetensors file that has the arrays below each of the prefixes."""
    named = {p + name: array.astype(dtype) for p in prefixes for name, array in arrays.items()}
    save_file(named, path)
    return path


def close(found, expected):
    """To float32, after waves of sin(30 x); the outputs are of order 1."""
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module")
def satclip_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "satclip.safetensors"
    return write(path, satclip_arrays(np.random.default_rng(0), 5), ["nnet."])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An imported GeoCLIP of small widths."""
    folder = tmp_path_factory.mktemp("geoclip")
    file = write(folder / "geoclip.safetensors", geoclip_arrays(np.random.default_rng(0)))
    return import_weights("geoclip", file, folder / "geoclip")[1]


def test_the_references_have_the_golden_values():
    basis = satclip_basis([[10, 50], [0, 90]], 3)
    golden = ".886226925453 -.054537273474 -1.175870607176 -.309296247544 .077196459051 "
    golden += ".093418392705 .753500123223 .529802032168 .212095528106"
    np.testing.assert_allclose(basis[0], [float(v) for v in golden.split()], atol=1e-12)
    np.testing.assert_allclose(basis[1, 2], -1.534990061920, atol=1e-12)
    found = equal_earth([[40.7128, -74.0060], [34.0522, -118.2437], [90, 0], [0, 180]])
    expected = [[-0.36276157, 0.29079118], [-0.60242176, 0.24681705], [0, 0.48671693], [1, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize(
    "prefixes", [["nnet."], ["model.nnet."], ["model.location.nnet.", "model.nnet."]]
)
def test_satclip_is_the_published_forward(prefixes, rng, tmp_path):
    arrays = satclip_arrays(rng, 6, hidden=(12, 9, 8))
    file = write(tmp_path / "satclip.safetensors", arrays, prefixes, np.float64)
    published, run = import_weights("satclip", file, tmp_path / "run")
    close(load(run)(places()), satclip_forward(arrays, places()))
    assert published.summary == "SatCLIP with L = 6, hidden widths (12, 9, 8) and D = 6"
    assert published.parameters == sum(array.size for array in arrays.values())


def named(arrays, prefix="nnet."):
    """What a file holds, as it is read."""
    return {prefix + name: array.astype(np.float32) for name, array in arrays.items()}


def test_satclip_s_closed_form_has_other_signs_and_no_factor(rng):
    arrays = satclip_arrays(rng, 5)
    for form in ("analytic", "closed-form"):
        settings = {"harmonics_calculation": form, "legendre_polys": 5, "pe_type": "siren"}
        read = satclip(Weights("satclip.ckpt", named(arrays), settings))
        found = LocationEncoder(read.experiment, read.params)(places())
        close(found, satclip_forward(arrays, places(), closed_form=form == "closed-form"))


def test_the_rounding_of_satclip_s_polynomials_is_kept_where_it_matters(rng):
    """As in the released L = 40; those of L = 10 are the harmonics to 1e-7 without it."""
    for degree, rounded in ((10, False), (33, False), (34, True), (40, True)):
        read = satclip(Weights("satclip.ckpt", named(satclip_arrays(rng, degree))))
        expected = SphericalHarmonics(degree, "satclip", satclip_polynomials=rounded)
        assert read.experiment.location.encoding == expected


@pytest.mark.parametrize("prefix", ["", "location_encoder."])
def test_geoclip_is_the_published_forward(prefix, rng, tmp_path):
    """It takes (lat, lon), and its seam at the antimeridian is kept."""
    arrays = geoclip_arrays(rng)
    whole = {"image_encoder.mlp.0.weight": np.ones((2, 3)), "logit_scale": np.ones(())}
    file = tmp_path / "geoclip.safetensors"
    write(file, named(arrays, prefix) | (whole if prefix else {}))
    published, run = import_weights("geoclip", file, tmp_path / "run")
    found = load(run)(places())
    float32 = {name: array.astype(np.float32).astype(float) for name, array in arrays.items()}
    close(found, geoclip_forward(float32, places()[:, ::-1]))
    assert np.abs(found[-1] - found[-2]).max() > 0.1
    assert published.summary == "GeoCLIP with σ = 1, 16, 256, hidden widths (16, 14, 12) and D = 6"


def test_an_imported_run_is_a_run(run, tmp_path, capsys):
    """All that needs no training works, and says what trained it."""
    encoder = load(run, "best")
    np.testing.assert_array_equal(encoder(places()), load(run)(places()))
    assert np.abs(untrained(run)(places()) - encoder(places())).max() > 0.1
    assert list(baselines(run, places())) == ["unit vector", "harmonics L=15", "untrained encoder"]
    assert repr(encoder).startswith("LocationEncoder('geoclip', dim=6, (EqualEarthFourier → Mlp +")
    assert encoder.experiment.shown_layers == {"mp-16", "photographs"}

    table = tmp_path / "places.csv"
    table.write_text("lon,lat\n8.54,47.37\n-70.67,-33.45\n")
    main(["embed", str(run), str(table), "-o", str(tmp_path / "out.csv")])
    image = tmp_path / "map.png"
    main(["map", str(run), "-o", str(image), "--resolution", "10", "--no-coastlines"])
    assert image.stat().st_size > 1000
    assert "wrote 2 rows" in capsys.readouterr().out


def test_it_cannot_be_trained_further(run):
    before = contents(run)
    with pytest.raises(RunError, match=r"holds weights imported from geoclip\.safetensors, which"):
        check_run(run, read_experiment(run))
    assert contents(run) == before


def test_the_command_says_what_it_read_and_what_is_next(
    satclip_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    main(["import", "satclip", str(satclip_file)])
    assert capsys.readouterr().out == (
        "imported SatCLIP with L = 5, hidden widths (12, 9) and D = 6: 489 parameters\n"
        "wrote runs/satclip-l5; next: earth-embed evaluate runs/satclip-l5\n"
    )
    before = contents(tmp_path)
    main(["import", "satclip", str(satclip_file), "--run-dir", "runs/satclip-l5"])
    assert contents(tmp_path) == before


def test_another_run_is_never_overwritten(run, satclip_file, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("...")
    other = write(tmp_path / "other.safetensors", geoclip_arrays(np.random.default_rng(1)))
    for kind, file, target in (
        ("satclip", satclip_file, run),
        ("geoclip", other, run),
        ("geoclip", other, tmp_path / "thesis"),
        ("geoclip", other, other),
    ):
        before = contents(target) if target.is_dir() else target.read_bytes()
        with pytest.raises(RunError, match=f"{target.name} holds|{target.name}'?$"):
            import_weights(kind, file, target)
        assert before == (contents(target) if target.is_dir() else target.read_bytes())


def test_a_run_appears_whole_or_not_at_all(satclip_file, tmp_path, monkeypatch):
    class Failing(imports.Checkpointer):
        def save(self, state, score):
            raise CheckpointError("the disk is full")

    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot make the run directory .*Not a directory"):
        import_weights("satclip", satclip_file, tmp_path / "file" / "run")
    monkeypatch.setattr(imports, "Checkpointer", Failing)
    with pytest.raises(CheckpointError, match="the disk is full"):
        import_weights("satclip", satclip_file, tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def without(name):
    return lambda arrays: {k: v for k, v in arrays.items() if k != name}


def with_(name, *shape, value=1.0):
    return lambda arrays: arrays | {name: np.full(shape, value)}


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (
            "satclip",
            without("layers.0.weight"),
            r"layers\.0\.weight has shape \(0,\): expected \(w",
        ),
        (
            "satclip",
            with_("layers.0.weight", 12, 24),
            r"has shape \(12, 24\): expected \(width, L²",
        ),
        (
            "satclip",
            without("layers.1.bias"),
            r"layers layers\.0, layers\.1, last_layer\n  layers\.1\.bias is m",
        ),
        ("satclip", with_("layers.3.scale", 2), r"layers\.3\.scale is unknown"),
        ("satclip", with_("last_layer.bias", 6, value=np.nan), r"last_layer\.bias is not finite"),
        (
            "satclip",
            with_("layers.1.weight", 9, 7),
            r"weight \(9, 7\) and bias \(9,\) after 12 inputs",
        ),
        ("satclip", with_("layers.0.weight", 12, 41**2), r"L = 41: expected at most 40"),
        (
            "geoclip",
            without("LocEnc1.capsule.0.b"),
            r"LocEnc1\.capsule\.0\.b has shape \(1,\) and root",
        ),
        (
            "geoclip",
            with_("LocEnc2.capsule.0.b", 9, 2),
            r"weight \(16, 40\) and bias \(16,\) after 18",
        ),
        (
            "geoclip",
            with_("LocEnc2.capsule.0.b", 20, 2, value=0.0),
            r"mean square 0: expected \(F, 2\)",
        ),
        ("geoclip", with_("LocEnc0.capsule.0.b", 20, 2, value=np.inf), "mean square inf: expected"),
        ("geoclip", with_("LocEnc4.head.0.bias", 9), r"from 0; found \['0', '1', '2', '4'\]"),
        ("geoclip", with_("LocEnc0.head.1.weight", 9), r"head\.1\.weight is unknown"),
    ],
)
def test_other_weights_are_refused_by_name(kind, change, message, rng, tmp_path):
    arrays = satclip_arrays(rng, 5) if kind == "satclip" else geoclip_arrays(rng)
    prefix = "nnet." if kind == "satclip" else ""
    file = write(tmp_path / "weights.safetensors", change(arrays), [prefix])
    with pytest.raises(CheckpointError, match=message):
        import_weights(kind, file, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_widths_that_cannot_be_summed(rng, tmp_path):
    arrays = geoclip_arrays(rng) | named(geoclip_arrays(rng, features=7), "")
    arrays |= {k: v for k, v in geoclip_arrays(rng).items() if k.startswith("LocEnc0")}
    file = write(tmp_path / "weights.safetensors", arrays)
    with pytest.raises(ConfigError, match=r"features = \[6, 7, 7\]: expected one dimension"):
        import_weights("geoclip", file, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("le_type", "grid", "'sphericalharmonics'"),
        ("pe_type", "fcnet", "'siren'"),
        ("harmonics_calculation", "discretized", "'analytic' or 'closed-form'"),
        ("legendre_polys", 10, "5"),
    ],
)
def test_other_encoders_of_satclip_s_authors_are_refused(name, value, expected, rng):
    weights = Weights("satclip.ckpt", named(satclip_arrays(rng, 5)), {name: value})
    with pytest.raises(
        CheckpointError, match=f"satclip.ckpt: {name} = {value!r}: expected {expected}"
    ):
        satclip(weights)
