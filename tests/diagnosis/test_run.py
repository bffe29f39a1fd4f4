"""`earth-embed diagnose`, as a user runs it."""

import json

import numpy as np
import pytest

from earth_embed.cli import main
from earth_embed.diagnosis import Settings, diagnose_run
from earth_embed.errors import ConfigError, RunError
from tests.training.runs import contents, metrics, write_experiment


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run of two modalities."""
    folder = tmp_path_factory.mktemp("trained")
    path = write_experiment(folder, method="Melt()", steps="8")
    main(["train", str(path), "--run-dir", str(folder / "run")])
    return folder / "run"


def test_the_command_writes_a_report_and_leaves_the_run_alone(run, capsys):
    checkpoints = contents(run / "checkpoints")
    main(["diagnose", str(run), "--oracle-steps", "20", "--batches", "2", "--ks", "1", "5"])
    assert contents(run / "checkpoints") == checkpoints
    printed = capsys.readouterr().out
    assert "is due to the location encoder" in printed
    assert f"wrote {run / 'diagnosis' / 'report.html'}" in printed
    assert sorted(contents(run / "diagnosis")) == sorted(
        path.relative_to(run / "diagnosis") for path in (run / "diagnosis").iterdir()
    )
    found = json.loads((run / "diagnosis" / "diagnosis.json").read_text())
    last = metrics(run)[-1]
    for name in ("a", "b"):
        modality = found["modalities"][name]
        # The same held-out examples as the run's own validation.
        validated = last[f"validation_retrieval@1/{name}"]
        assert modality["to_location"]["1"] == pytest.approx(validated, abs=1e-6)
        assert 0 < modality["floor"] < modality["loss"]
        assert modality["encoder_share"] == pytest.approx(1 - modality["floor"] / modality["loss"])
    assert [(pair["query"], pair["candidate"]) for pair in found["between"]] == [
        ("a", "b"),
        ("b", "a"),
    ]
    assert np.shape(found["gradients"]["cosines"]) == (2, 2)
    html = (run / "diagnosis" / "report.html").read_text()
    assert html.count("<td") == html.count("</td>") > 30
    assert "data:image/png;base64," in html


def test_the_same_diagnosis_twice(run):
    settings = Settings(examples=32, oracle_steps=5, batches=1, ks=(1,))
    assert diagnose_run(run, settings=settings) == diagnose_run(run, settings=settings)


def test_imported_weights_have_nothing_to_diagnose(tmp_path, run):
    record = json.loads((run / "run.json").read_text())
    imported = tmp_path / "imported"
    imported.mkdir()
    (imported / "run.json").write_text(json.dumps(record | {"imported": {"file": "satclip.pt"}}))
    with pytest.raises(RunError, match=r"imported from satclip.pt, a location encoder alone"):
        diagnose_run(imported)
    with pytest.raises(RunError, match="no run directory"):
        diagnose_run(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("field", "value"),
    [("examples", 3), ("ks", ()), ("ks", (5, 1)), ("oracle_steps", 0), ("oracle_rate", 0.0)],
)
def test_settings_are_checked(field, value):
    with pytest.raises(ConfigError, match=f"diagnosis.{field} = "):
        Settings(**{field: value})
