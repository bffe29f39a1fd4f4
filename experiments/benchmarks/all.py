"""Every benchmark, one after another, into one file.

    pip install -e ".[benchmark]"
    python experiments/benchmarks/all.py           # RESULTS.md beside this file; about 40 minutes
    python experiments/benchmarks/all.py --quick --output /tmp/quick.md

Each runs as a process of its own. Let nothing else run on the machine.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).parent
BENCHMARKS = (
    "harmonics",
    "training_step",
    "encoders",
    "contrastive_memory",
    "input",
    "storage",
    "scaling",
    "reproducibility",
    "conv_in_cond",
)
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "sympy", "tensorflow")


def main():
    """Runs them and writes the file; ends with status 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute in all")
    parser.add_argument("--output", type=Path, default=FOLDER / "RESULTS.md")
    options = parser.parse_args()
    sections, failed = [header()], []
    for name in BENCHMARKS:
        flags = ["--quick"] if options.quick else []
        print(f"{name} …", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(FOLDER / f"{name}.py"), *flags],
            capture_output=True,
            text=True,
            check=False,
        )
        text = done.stdout.strip()
        if done.returncode:
            failed.append(name)
            text += (
                f"\n\n**It failed:** `{(done.stderr.strip().splitlines() or ['no message'])[-1]}`"
            )
            print(done.stderr, file=sys.stderr)
        command = " ".join(["python", f"experiments/benchmarks/{name}.py", *flags])
        sections.append(f"## {name.replace('_', ' ')}\n\n```sh\n{command}\n```\n\n{text.strip()}\n")
        write(options.output, "\n".join(sections))  # what is done is kept
    print(f"wrote {options.output}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    sys.exit(bool(failed))


def header():
    """Date, machine and versions."""
    versions = ", ".join(f"{name} {found}" for name in PACKAGES if (found := installed(name)))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        "# Benchmarks\n\n"
        "Written by `python experiments/benchmarks/all.py`, in one run on one machine.\n\n"
        f"{datetime.date.today()} · {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB · "
        f"Python {platform.python_version()} · {versions}\n"
    )


def processor():
    """The processor's name and instruction set."""
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


def write(path, text):
    """Replaces a file whole."""
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    main()
