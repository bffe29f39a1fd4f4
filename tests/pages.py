"""Reports of made-up numbers, under any names."""

import itertools

import numpy as np

from earth_embed.diagnosis import Settings as DiagnosisSettings
from earth_embed.diagnosis import results as diagnosis
from earth_embed.diagnosis.geometry import Curve
from earth_embed.diagnosis.limits import Conflict
from earth_embed.evaluation.report import write_report
from earth_embed.evaluation.results import (
    HARMONICS,
    INTERPOLATION,
    UNTRAINED,
    Places,
    Record,
    Results,
    Row,
)
from earth_embed.evaluation.settings import Settings
from earth_embed.tasks.labels import Labels, Target
from tests.evaluation.worlds import places


def write_page(path, name, classes=3):
    """Writes an evaluation's report with a diagnosis; `name` makes a name out of "run", "zone" …"""
    targets = made_targets(name, classes)
    predictions = {task: target.values[::-1] for task, target in targets.items()}
    labels = [Labels(places(500), targets)]
    write_report(path, made_results(name), labels, predictions, made_section(name))


def made_results(name):
    """Random scores of a run, another one and two baselines on two tasks."""
    features = (name("run"), name("also"), f"{HARMONICS}15", UNTRAINED)
    settings = Settings((), seeds=2, label_counts=(100,))
    probes = settings.probes
    rows = (Row(INTERPOLATION, "idw"), *(Row(f, probe) for probe in probes for f in features))
    draw = np.random.default_rng(0).uniform
    kinds = {task: target.kind for task, target in made_targets(name, 2).items()}
    fits = itertools.product(kinds, rows, settings.splits, range(2), (100, None))
    records = tuple(
        Record(task, row.feature, row.probe, split, seed, 0, count, count or 400, 100, scores)
        for task, row, split, seed, count in fits
        for scores in [dict.fromkeys(("r2", "accuracy", "macro_f1"), draw()) | {"guess": 0.2}]
    )
    return Results(
        name("run"),
        settings,
        kinds,
        records,
        {task: Places(500, name("source"), {name("reason"): 3}) for task in kinds},
        {"labels": name("labels"), "checkpoint": "last"},
        {name("package"): name("version")},
    )


def made_targets(name, classes):
    rng = np.random.default_rng(1)
    names = tuple(name(f"class{i}") for i in range(classes))
    numbers, ids = rng.normal(size=500), rng.choice(classes, 500)
    height = Target(name("height"), numbers, "regression", (), name("unit"), frozenset())
    zone = Target(name("zone"), ids, "classification", names, "", frozenset())
    return {target.name: target for target in (height, zone)}


def made_section(name):
    modalities = (name("image"), name("text"))
    ks = {1: 0.1, 10: 0.5}
    numbers = diagnosis.OfModality(64, 1.0, -2.0, -3.0, ks, ks, 64, 4.0, 1.0, 0.75)
    found = diagnosis.Diagnosis(
        name("run"),
        8,
        DiagnosisSettings(ks=(1, 10)),
        dict.fromkeys(modalities, numbers),
        (diagnosis.Between(*modalities, 200.0, ks, ks),),
        diagnosis.Locations(128, 9.0, 2.0, Curve([10.0, 900.0], [0.9, 0.1], [5, 9], 700.0)),
        Conflict(modalities, [[1.0, -0.5], [-0.5, 1.0]], [1.0, 2.0]),
        {name("package"): name("version")},
    )
    return diagnosis.section(found)
