import dataclasses

import pytest

from earth_embed.config import (
    Experiment,
    GeodesicNtXent,
    Melt,
    Memory,
    Modality,
    NtXent,
    Pair,
    Sigmoid,
)
from earth_embed.config.files import differences, from_json, to_json
from earth_embed.errors import ConfigError

TABLE = Modality("table", "places.csv", "column")


def experiment(**settings):
    return Experiment("e", (TABLE,), **({"method": Pair()} | settings))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GeodesicNtXent(0.0), r"loss\.bandwidth_km = 0\.0: expected a number > 0"),
        (lambda: GeodesicNtXent(weighting="x"), r"weighting = 'x': expected one of 'soft_targets'"),
        (lambda: Sigmoid(bias=float("nan")), r"loss\.bias = nan: expected a finite float"),
        (lambda: Memory(tile=-1), r"memory\.tile = -1: expected a number ≥ 0"),
        (lambda: Memory(exchange="post"), r"memory\.exchange = 'post': expected one of 'gather'"),
        (lambda: experiment(batch_size=1), "batch_size = 1: expected a number ≥ 2 or 'all'"),
        (lambda: experiment(batch_size="most"), "batch_size = 'most': expected a number ≥ 2 or"),
        (
            lambda: experiment(method=Pair("symmetric"), loss=Sigmoid()),
            "direction = 'symmetric': expected 'sample_to_location' with loss Sigmoid",
        ),
        (
            lambda: Experiment(
                "e",
                (TABLE, dataclasses.replace(TABLE, name="other")),
                Melt(quotas=(3, 5)),
                batch_size="all",
            ),
            "quotas = \\(3, 5\\): expected 2 counts that sum to batch_size = 'all'",
        ),
    ],
)
def test_faults(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize("loss", [NtXent(), Sigmoid(-5.0), GeodesicNtXent(9.0, "semivariogram")])
def test_json_round_trip(loss):
    saved = experiment(loss=loss, memory=Memory(64, "ring", 32), batch_size="all")
    again = from_json(to_json(saved))
    assert again == saved
    assert differences(saved, again) == []


def test_runs_saved_before_there_was_a_choice_have_todays_defaults():
    values = to_json(experiment())
    del values["loss"], values["memory"]
    assert from_json(values) == experiment(loss=NtXent(), memory=Memory(0, "gather", 0))
