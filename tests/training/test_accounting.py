"""What a run says of its speed and memory."""

import dataclasses
import json

import pytest

from earth_embed.config import Checkpoints
from earth_embed.training import accounting
from earth_embed.training.accounting import MEASURED, Meter, peak_memory
from earth_embed.training.loop import train
from tests.training.runs import SMALL


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the meter reads, set by the test."""
    now = [0.0]
    monkeypatch.setattr(accounting.time, "perf_counter", lambda: now[0])
    return now


def test_rates_are_counts_by_time_since_they_were_asked(clock):
    meter = Meter(10)
    assert meter.tick(examples=32, flops=100) == 11
    assert meter.tick(examples=16, flops=300) == 12
    clock[0] = 2.0
    rates = meter.rates()
    assert rates["steps_per_second"] == 1
    assert rates["examples_per_second"] == 24
    assert rates["flops_per_second"] == 200
    assert "share_of_peak" not in rates  # no peak of this processor is published here

    meter.tick(32, 100)
    clock[0] = 2.5
    assert (meter.rates()["steps_per_second"], meter.rates()["examples_per_second"]) == (2, 0)


def test_the_share_of_a_known_peak(clock, monkeypatch):
    monkeypatch.setattr(accounting, "peak_flops", lambda devices: 400.0)
    meter = Meter(0)
    meter.tick(1, 100)
    clock[0] = 1.0
    assert meter.rates()["share_of_peak"] == 0.25


def test_the_most_memory_never_falls():
    before = peak_memory()
    assert 2**26 < before <= peak_memory() < 2**37  # Python with JAX takes more than 64 MiB


def test_a_run_records_what_it_achieves_and_a_trace(sources, tmp_path):
    settings = Checkpoints(save_every=50, validate_every=50, log_every=5, validation_examples=16)
    experiment = dataclasses.replace(SMALL, steps=22, checkpoints=settings)
    train(experiment, tmp_path / "run", {"series": sources["series"]}, profile=True)
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    lines = [line for line in map(json.loads, text.splitlines()) if "loss" in line]
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 22]
    for line in lines:
        assert line.keys() & set(MEASURED) == set(MEASURED) - {"share_of_peak"}
        assert line["examples_per_second"] == pytest.approx(48 * line["steps_per_second"])
        assert line["flops_per_second"] > 0
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
