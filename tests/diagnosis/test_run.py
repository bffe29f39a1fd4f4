"""`earth-embed diagnose`, as a user runs it."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from earth_embed.cli import main
from earth_embed.diagnosis import Settings
from earth_embed.diagnosis.results import load_diagnosis, read_section
from earth_embed.diagnosis.run import diagnose_run
from earth_embed.errors import ConfigError, RunError
from tests.evaluation.worlds import world
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
    assert found["step"] == last["step"] == 8
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


def test_targets_are_compared_in_their_own_space(tmp_path):
    """What the head predicts stands for the location; modalities have nothing to ask each other."""
    path = write_experiment(tmp_path, method='Melt(negatives="within")', steps="4")
    path.write_text(path.read_text().replace("width=8", 'encoder="target", width=8'))
    main(["train", str(path), "--run-dir", str(tmp_path / "run")])
    found = diagnose_run(tmp_path / "run", settings=Settings(oracle_steps=5, batches=1))
    validated = metrics(tmp_path / "run")[-1]
    for name, modality in found.modalities.items():
        expected = validated[f"validation_retrieval@1/{name}"]
        assert modality.to_location[1] == pytest.approx(expected, abs=1e-6)
    assert found.between == ()
    assert (tmp_path / "run" / "diagnosis" / "report.html").exists()


def test_the_evaluation_shows_the_diagnosis_of_its_checkpoint(run, tmp_path, monkeypatch):
    monkeypatch.setattr("earth_embed.evaluation.run.load_labels", lambda *_: world())
    run = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("diagnosis"))
    quick = ["--tasks", "height", "--probes", "ridge", "--seeds", "1", "--label-counts"]

    def report(*options):
        main(["evaluate", str(run), *quick, *options])
        html = (run / "evaluation" / "report.html").read_text()
        assert html.count("<section") == html.count("</section>")
        return html

    assert read_section(run, "last") is None
    shown = report("--diagnose")
    section = read_section(run, "last")
    assert section.startswith('<section data-step="8">')
    assert section.count("<td") == section.count("</td>") > 30
    assert section in shown
    (run / "checkpoints.sha256" / "8.json").rename(tmp_path / "8.json")
    assert read_section(run, "last") is None
    assert read_section(run, "last", unverified=True) == section
    assert section in report("--unverified")
    (tmp_path / "8.json").rename(run / "checkpoints.sha256" / "8.json")
    (run / "checkpoints" / "8").rename(tmp_path / "8")
    assert read_section(run, "last") is None
    assert "<section" not in report()


def test_a_diagnosis_reads_back_as_it_was_written(run, tmp_path):
    settings = Settings(examples=32, oracle_steps=5, batches=1, ks=(1, 4))
    found = diagnose_run(run, settings=settings)
    assert load_diagnosis(run / "diagnosis" / "diagnosis.json") == found
    flat = dataclasses.replace(
        found.locations,
        intrinsic_dimension=float("inf"),
        similarity=dataclasses.replace(found.locations.similarity, half_sill_km=None),
    )
    changed = dataclasses.replace(found, locations=flat, between=())
    changed.save(tmp_path / "other.json")
    assert load_diagnosis(tmp_path / "other.json") == changed


SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def diagnosed(run, tmp_path):
    """A copy of the run with a diagnosis, the path of its JSON, and the JSON's values."""
    diagnose_run(run, settings=Settings(examples=32, oracle_steps=5, batches=1, ks=(1,)))
    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "diagnosis" / "diagnosis.json"
    return copy, path, json.loads(path.read_text())


def test_no_script_arrives_from_a_foreign_diagnosis(diagnosed, monkeypatch):
    monkeypatch.setattr("earth_embed.evaluation.run.load_labels", lambda *_: world())
    run, path, values = diagnosed
    name = next(iter(values["modalities"]))
    values["modalities"][SCRIPT] = values["modalities"].pop(name)
    values["gradients"]["names"][0] = SCRIPT
    values["between"][0]["query"] = values["run"] = SCRIPT
    values["versions"] = {SCRIPT: SCRIPT}
    path.write_text(json.dumps(values))
    (run / "diagnosis" / "report.html").write_text(
        f'<section data-step="8">{SCRIPT}</section><img src=x onerror="alert(1)">'
    )
    quick = ["--tasks", "height", "--probes", "ridge", "--seeds", "1", "--label-counts"]
    main(["evaluate", str(run), *quick])
    html = (run / "evaluation" / "report.html").read_text()
    assert html.count("What limits this run") == 1
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "onerror" not in html


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: values.update(step=SCRIPT),
        lambda values: values.pop("locations"),
        lambda values: values.update(more=1),
        lambda values: values["settings"].update(ks=[5, 1]),
        lambda values: values["settings"].update(ks=[1, 7]),
        lambda values: values["modalities"]["a"].update(loss="low"),
        lambda values: values["modalities"]["a"].update(to_location={"one": 0.5}),
        lambda values: values["gradients"].update(cosines=[[1.0], [0.5, 1.0]]),
        lambda values: values.update(modalities={}),
    ],
)
def test_a_malformed_diagnosis_is_one_clear_error(damage, diagnosed):
    run, path, values = diagnosed
    damage(values)
    path.write_text(json.dumps(values))
    with pytest.raises(RunError, match=r"diagnosis\.json is no diagnosis of a run: ."):
        read_section(run, "last")


def test_an_unreadable_diagnosis_is_one_clear_error(diagnosed, capsys):
    run, path, _ = diagnosed
    path.write_text("{")
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", str(run)])
    assert caught.value.code == 2
    assert "diagnosis.json is no diagnosis of a run" in capsys.readouterr().err
    path.unlink()
    path.mkdir()
    with pytest.raises(RunError, match=r"cannot read .*diagnosis\.json: Is a directory"):
        read_section(run, "last")


def test_only_the_last_state_is_diagnosed_for_an_evaluation(run, capsys):
    before = contents(run)
    with pytest.raises(SystemExit):
        main(["evaluate", str(run), "--diagnose", "--which", "best"])
    assert "expected --which last" in capsys.readouterr().err
    assert contents(run) == before


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
