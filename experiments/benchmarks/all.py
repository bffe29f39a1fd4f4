"""Runs every benchmark and collects the results in one file.

    pip install -e ".[benchmark]"
    python experiments/benchmarks/all.py           # RESULTS.md beside this file; about an hour
    python experiments/benchmarks/all.py input     # only that section; the others are kept
    python experiments/benchmarks/all.py --quick --output quick.md

Each benchmark runs in its own process. Run nothing else on the machine.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from earth_embed.files import write_text

FOLDER = Path(__file__).parent
HUGE_PAGES = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"
BENCHMARKS = {
    "harmonics": "harmonics.py",
    "training step": "training_step.py",
    "training step, huge pages": f"{HUGE_PAGES} training_step.py",
    "encoders": "encoders.py",
    "contrastive memory": "contrastive_memory.py",
    "input": "input.py",
    "storage": "storage.py",
    "embed": "embed.py",
    "scaling": "scaling.py",
    "reproducibility": "reproducibility.py",
    "conv in cond": "conv_in_cond.py",
}
"""Section → environment variables and file to run."""
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "sympy", "tensorflow")
TITLE = """# Benchmarks

Written by `python experiments/benchmarks/all.py`; each section says when and where it was measured.
"""


def main():
    """Runs the benchmarks and writes the file; exits with status 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, about a minute")
    parser.add_argument("--output", type=Path, default=FOLDER / "RESULTS.md")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}")
    sections, failed = read(options.output), []
    for name in options.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        sections[name], status = measure(BENCHMARKS[name], options.quick)
        if status:
            failed.append(name)
        kept = [f"## {name}\n\n{sections[name]}\n" for name in BENCHMARKS if name in sections]
        # After each, so that an interruption loses little.
        write_text(options.output, "\n".join([TITLE, *kept]))
    print(f"wrote {options.output}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    sys.exit(bool(failed))


def measure(benchmark, quick):
    """Runs a benchmark; returns its section and exit status."""
    *environment, file = benchmark.split()
    flags = ["--quick"] if quick else []
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FOLDER / file), *flags],
        env={**os.environ, **dict(pair.split("=", 1) for pair in environment)},
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout.strip()
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        text += f"\n\n**It failed:** `{last}`"
    command = " ".join([*environment, "python", f"experiments/benchmarks/{file}", *flags])
    return f"```sh\n{command}\n```\n\n{circumstances()}\n\n{text}", done.returncode


def read(path):
    """The sections of an existing results file."""
    parts = path.read_text().split("\n## ")[1:] if path.exists() else []
    return {name: text.strip() for name, _, text in (part.partition("\n") for part in parts)}


def circumstances():
    """The date, the machine and the versions."""
    versions = ", ".join(f"{name} {found}" for name in PACKAGES if (found := installed(name)))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.date.today()} · {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB · "
        f"Python {platform.python_version()} · {versions}"
    )


def processor():
    """The processor's name, and whether it has AVX-512."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    found = {key.strip(): value.strip() for key, value in found.items()}
    wide = " (AVX-512)" if "avx512f" in found.get("flags", "") else ""
    return found.get("model name", platform.processor() or platform.machine()) + wide


def installed(name):
    """A package's version, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
