"""The command `earth-embed`: train, evaluate, embed, map, import, prepare."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, get_args

import tyro
from tqdm import tqdm

from earth_embed.config import Experiment, Method
from earth_embed.config.files import load_experiment
from earth_embed.errors import ConfigError, EarthEmbedError, FaultWarning, Interrupted, ProcessLost

if TYPE_CHECKING:
    from earth_embed.pretrained import LocationEncoder

USAGE = """usage: earth-embed COMMAND ...

  train EXPERIMENT.py   train the experiment that a Python file defines, or resume its run
  evaluate RUN          score a run beside its baselines
  embed RUN TABLE       add embeddings to a table of places
  map RUN               draw the embeddings of the whole Earth
  import satclip FILE   turn published weights (satclip or geoclip) into a run
  prepare DATASET       make a data set on disk, or check the one that is there

earth-embed COMMAND --help explains a command's options."""

USER_ERROR, INTERRUPTED, LOST = 2, 130, 75
"""Exit status after a user's mistake, after Ctrl-C outside training, and when another process of
the run is gone. A training that a signal stopped has saved its state and ends with 128 + signal:
130 (SIGINT) or 143 (SIGTERM)."""

_TOP_LEVEL = tyro.conf.arg(name="")
"""Fields of the object so marked are options without its prefix; those below keep theirs."""


@dataclass(frozen=True)
class Where:
    """Where a training run reads and writes."""

    run_dir: Path | None = None
    """Directory of the run (default: runs/NAME). A run that is there already is resumed."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""
    profile: bool = False
    """Trace ten steps, into RUN/profile, for TensorBoard or Perfetto."""
    coordinator: str | None = None
    """One of several processes: HOST:PORT of process 0, or "auto" to ask the cluster
    (default: EARTH_EMBED_COORDINATOR, else a TPU pod, Slurm step or Kubernetes job, else alone)."""
    processes: int | None = None
    """How many processes train the run together (default: EARTH_EMBED_PROCESSES)."""
    process: int | None = None
    """Which of them this is, from 0 (default: EARTH_EMBED_PROCESS)."""


@dataclass(frozen=True)
class Evaluate:
    """Scores a run beside its baselines; writes results.json and report.html into the run."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of the run."""
    also: tuple[Path, ...] = ()
    """Further runs, as rows of the same tables."""
    split: Literal["test", "validation"] = "test"
    """Labels to score on: "validation" to choose settings, "test" to publish."""
    which: Literal["last", "best"] = "last"
    """Checkpoint: the last, or the best by validation retrieval@1."""
    labels: Literal["full", "tiny"] = "full"
    """Label set: about 20,000 places, or about 1,500 for a quick look."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""


@dataclass(frozen=True)
class Embed:
    """Writes the rows of a table together with the embeddings of their places."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of the run."""
    table: Annotated[Path, tyro.conf.Positional]
    """CSV, Parquet or GeoParquet with columns lon and lat in degrees, or a point geometry."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """CSV or Parquet to write."""
    which: Literal["last", "best"] = "last"
    """Checkpoint: the last, or the best by validation retrieval@1."""
    smoothing_km: float = 0.0
    """Smooth the encoder's spherical harmonics by a heat kernel of this standard deviation."""


@dataclass(frozen=True)
class Map:
    """Draws the embeddings of the whole Earth: three principal components as red, green, blue."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of the run."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """PNG or GeoTIFF to write."""
    resolution: float = 0.5
    """Degrees per pixel."""
    coastlines: bool = True
    """Draw coastlines (PNG only)."""
    land_only: bool = False
    """Leave the ocean blank."""
    which: Literal["last", "best"] = "last"
    """Checkpoint: the last, or the best by validation retrieval@1."""
    smoothing_km: float = 0.0
    """Smooth the encoder's spherical harmonics by a heat kernel of this standard deviation."""


@dataclass(frozen=True)
class Import:
    """Turns published weights of a location encoder into a run."""

    published: Annotated[Literal["satclip", "geoclip"], tyro.conf.Positional]
    """Whose weights they are."""
    file: Annotated[Path | None, tyro.conf.Positional] = None
    """A safetensors or torch file (default for geoclip: the one in the installed package)."""
    run_dir: Path | None = None
    """Directory of the run (default: runs/satclip-lL for L degrees, or runs/geoclip)."""


@dataclass(frozen=True)
class Prepare:
    """Makes a data set on disk; started again, it goes on where it stopped."""

    dataset: Annotated[str, tyro.conf.Positional]
    """The data set: s2_100k, or any that TFDS knows."""
    source: Path | None = None
    """Folder of the published files that s2_100k is made from."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""
    verify: bool = False
    """Read all finished files and compare their checksums, not their sizes alone."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; a user's mistake ends in one message and status 2, without a traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": _train,
        "evaluate": _evaluate,
        "embed": _embed,
        "map": _map,
        "import": _import,
        "prepare": _prepare,
    }
    name = arguments[0] if arguments else "--help"
    if name in ("--help", "-h"):
        print(USAGE)
        return
    try:
        if name == "--version":
            from earth_embed import __version__

            print(__version__)
        elif name in commands:
            with _faults_in_one_line():
                commands[name](arguments[1:])
        else:
            raise EarthEmbedError(f"no command {name!r}; expected one of {', '.join(commands)}")
    except Interrupted as error:  # all processes alike, so they end in order
        print(error, file=sys.stderr)
        sys.exit(128 + error.signal)
    except ProcessLost as error:
        _fail(f"error: {error}", LOST)
    except EarthEmbedError as error:
        _fail(f"error: {error}", USER_ERROR)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)


def _fail(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    if "jax" in sys.modules:
        from earth_embed.processes import leave

        leave(status)
    sys.exit(status)


@contextmanager
def _faults_in_one_line() -> Iterator[None]:
    """Shows each `FaultWarning` as one line on stderr, above a progress bar if there is one."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_fault(message: Any, category: type[Warning], *rest: Any, **kwargs: Any) -> None:
            if issubclass(category, FaultWarning):
                tqdm.write(f"warning: {message}", file=sys.stderr)
            else:
                show(message, category, *rest, **kwargs)

        warnings.simplefilter("always", FaultWarning)
        warnings.showwarning = show_fault
        yield


def parse_train(arguments: list[str]) -> tuple[Experiment, Where]:
    """Reads `train`'s arguments: the file's experiment with every override, and the places."""
    if not arguments or arguments[0].startswith("-"):
        example = "earth-embed train experiments/quickstart.py --steps 100"
        if set(arguments) & {"-h", "--help"}:
            print(
                "usage: earth-embed train EXPERIMENT.py [--run-dir DIR] [--data-dir DIR] "
                "[--method pair|melt|salt] [--FIELD VALUE ...]\n\n"
                "Trains the `experiment` that the file defines; any of its "
                f"fields can be set, such as\n\n    {example}\n\n"
                "earth-embed train EXPERIMENT.py --help explains every field."
            )
            sys.exit(0)
        raise ConfigError(f"train expects an experiment file first, such as: {example}")
    path, overrides = arguments[0], arguments[1:]
    experiment = load_experiment(path)
    if "--method" in overrides:
        experiment = _with_method(experiment, overrides)
    settings = dataclasses.make_dataclass(
        "Train",
        [
            ("where", Annotated[Where, _TOP_LEVEL], field(default_factory=Where)),
            ("experiment", Annotated[Experiment, _TOP_LEVEL], field(default=experiment)),
        ],
        frozen=True,
    )
    parsed: Any = _parse(settings, overrides, f"earth-embed train {path}")
    return parsed.experiment, parsed.where


def _with_method(experiment: Experiment, overrides: list[str]) -> Experiment:
    """Takes `--method NAME` out of the overrides: the method with its default options.

    The kind decides which fields there are, so it must be known before the others are parsed.
    """
    at = overrides.index("--method")
    kinds = {kind.__name__.lower(): kind for kind in get_args(Method)}
    name = overrides[at + 1] if at + 1 < len(overrides) else ""
    if name not in kinds:
        raise ConfigError(f"--method {name}: expected one of {', '.join(kinds)}")
    del overrides[at : at + 2]
    return dataclasses.replace(experiment, method=kinds[name]())


def _train(arguments: list[str]) -> None:
    experiment, where = parse_train(arguments)
    run_dir = where.run_dir or Path("runs") / experiment.name
    # Imported late: --help and a typing mistake should not wait for Flax, Optax and Orbax.
    from earth_embed.data.open import open_sources
    from earth_embed.encoders.towers import Towers
    from earth_embed.processes import is_main, join, noticing_loss
    from earth_embed.training.loop import train
    from earth_embed.training.run_dir import check_run

    Towers(experiment)  # an unknown encoder or a foreign directory is said before any data is read
    check_run(run_dir, experiment)
    join(where.coordinator, where.processes, where.process)
    with noticing_loss(run_dir):
        train(experiment, run_dir, open_sources(experiment, where.data_dir), where.profile)
    if is_main():
        print(f"trained {run_dir}; next: earth-embed evaluate {run_dir}")


def _evaluate(arguments: list[str]) -> None:
    from earth_embed.evaluation.run import evaluate_run
    from earth_embed.evaluation.settings import Settings

    parser = dataclasses.make_dataclass(
        "Evaluation",
        [
            ("command", Annotated[Evaluate, _TOP_LEVEL]),
            ("settings", Annotated[Settings, _TOP_LEVEL], field(default_factory=Settings)),
        ],
        frozen=True,
    )
    parsed: Any = _parse(parser, arguments, "earth-embed evaluate")
    options = parsed.command
    evaluate_run(
        options.run,
        split=options.split,
        which=options.which,
        data_dir=options.data_dir,
        label_config=options.labels,
        settings=parsed.settings,
        extra_runs=options.also,
    )


def _embed(arguments: list[str]) -> None:
    options: Embed = _parse(Embed, arguments, "earth-embed embed")
    from earth_embed.serving.embed import embed_table

    rows = embed_table(_encoder(options), options.table, options.output)
    print(f"wrote {rows} rows to {options.output}")


def _map(arguments: list[str]) -> None:
    options: Map = _parse(Map, arguments, "earth-embed map")
    from earth_embed.serving.map import embedding_map

    embedding_map(
        _encoder(options),
        options.output,
        resolution=options.resolution,
        coastlines=options.coastlines,
        land_only=options.land_only,
    )
    print(f"wrote {options.output}")


def _import(arguments: list[str]) -> None:
    options: Import = _parse(Import, arguments, "earth-embed import")
    from earth_embed.importing import import_weights

    published, run_dir = import_weights(options.published, options.file, options.run_dir)
    print(f"imported {published.summary}: {published.parameters:,} parameters")
    print(f"wrote {run_dir}; next: earth-embed evaluate {run_dir}")


def _prepare(arguments: list[str]) -> None:
    from earth_embed.data.preparation import Work, prepare_from_files, verify
    from earth_embed.data.tfds_source import prepare

    parser = dataclasses.make_dataclass(
        "Preparation",
        [
            ("command", Annotated[Prepare, _TOP_LEVEL]),
            ("work", Annotated[Work, _TOP_LEVEL], field(default_factory=Work)),
        ],
        frozen=True,
    )
    parsed: Any = _parse(parser, arguments, "earth-embed prepare")
    options, work = parsed.command, parsed.work
    if options.source is not None:
        print(
            prepare_from_files(
                options.dataset, options.source, options.data_dir, work, options.verify
            )
        )
    elif options.verify:
        print(verify(options.dataset, options.data_dir, work.workers))
    else:
        print(f"prepared {prepare(options.dataset, options.data_dir).data_path}")


def _encoder(options: Embed | Map) -> LocationEncoder:
    """The run's encoder, smoothed if so asked."""
    from earth_embed.pretrained import load

    encoder = load(options.run, options.which)
    return encoder.smoothed(options.smoothing_km) if options.smoothing_km else encoder


def _parse(kind: Any, arguments: list[str], program: str) -> Any:
    """Parses with tyro; it prints its own messages and exits with status 2."""
    return tyro.cli(kind, args=arguments, prog=program, config=(tyro.conf.AvoidSubcommands,))
