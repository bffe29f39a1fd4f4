"""How far runs of one seed differ: on the same devices, other devices, other processes.

    python experiments/benchmarks/reproducibility.py   # about two minutes on two cores

Each run is `earth-embed train` in its own processes, on a small table of features. All are compared
with the first.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

EXPERIMENT = """
from earth_embed.config import *
from pathlib import Path
here = Path(__file__).parent
experiment = Experiment(
    "reproducibility",
    tuple(Modality(n, f"{{here}}/{{n}}.csv", f"{{n}}.npy", width=32, depth=1) for n in ("a", "b")),
    location=LocationConfig(SphericalHarmonics(15), Siren((128, 128), dropout=0.1), 64),
    input=Input(loader="python"),
    optimizer=Optimizer(learning_rate=1e-3),
    checkpoints=Checkpoints(log_every=1, validate_every=1000, save_every=1000),
    batch_size=256,
    steps={steps},
)
"""
RUNS = (
    ("one device", 1, 1, 1),
    ("one device, again", 1, 1, 1),
    ("2 devices", 1, 2, 1),
    ("8 devices", 1, 8, 1),
    ("8 devices, state split over 2", 1, 8, 2),
    ("2 processes of 4 devices", 2, 4, 1),
    ("4 processes of 2 devices, state split over 4", 4, 2, 4),
)
"""Name, number of processes, devices per process, mesh.model."""


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few steps and runs")
    quick = parser.parse_args().quick
    steps, runs = (3, RUNS[:3]) if quick else (100, RUNS)
    print(f"MELT on two modalities, L = 15, batch 256, {steps} steps:\n")
    print("| run | greatest relative difference of a loss | of the last loss |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder), steps)
        first = None
        for what, processes, devices, model in runs:
            losses = train(Path(folder), processes, devices, model)
            first = losses if first is None else first
            apart = np.abs(losses / first - 1)
            shown = ("none" if x == 0 else f"{x:.1e}" for x in (apart.max(), apart[-1]))
            print(f"| {what} | " + " | ".join(shown) + " |", flush=True)


def write_data(folder, steps):
    """Writes two tables of features that depend on the place, and the experiment."""
    rng = np.random.default_rng(0)
    for name, count in (("a", 4000), ("b", 3000)):
        lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
        lonlat = np.stack([rng.uniform(-180, 180, count), lat], axis=1)
        signal = np.sin(np.radians(lonlat) @ rng.normal(size=(2, 16))).astype(np.float32)
        np.savetxt(folder / f"{name}.csv", lonlat, delimiter=",", header="lon,lat", comments="")
        np.save(folder / f"{name}.npy", signal)
    (folder / "experiment.py").write_text(EXPERIMENT.format(steps=steps))


def train(folder, processes, devices, model):
    """Trains a run; returns its loss at each step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(dir=folder) as run:
        command = [sys.executable, "-m", "earth_embed", "train", str(folder / "experiment.py")]
        command += ["--run-dir", run, "--mesh.model", str(model), "--mesh.split-from", "256"]
        if processes > 1:
            command += ["--coordinator", f"127.0.0.1:{port}", "--processes", str(processes)]
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
        started = [
            subprocess.Popen(
                command + (["--process", str(i)] if processes > 1 else []),
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for i in range(processes)
        ]
        errors = [process.communicate()[1] for process in started]
        if any(process.returncode for process in started):
            sys.exit("\n".join(errors))
        lines = map(json.loads, (Path(run) / "metrics.jsonl").read_text().splitlines())
        return np.array([line["loss"] for line in lines if "loss" in line])


if __name__ == "__main__":
    main()
