"""A library's manners: importing, training, loading and embedding leave the user's process alone.

The test imports third parties first, since what they change on import is theirs: JAX sets
TF_CPP_MIN_LOG_LEVEL and TPU_SKIP_MDS_QUERY, tensorboardX sets CRC32C_SW_MODE, and NumPy adds
warning filters. Two further changes cannot be prevented. If the root logger has no handler, the
first message that Orbax sends through Abseil adds one, by `logging.basicConfig()`. And
`Input(loader="tf.data")` hides the GPUs from TensorFlow (`tf.config.set_visible_devices`), which
would otherwise take all their memory from JAX.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]

STATE = """\
    import logging
    import os
    import signal
    import sys
    import threading
    import warnings

    logging.basicConfig()  # as applications do, and Abseil otherwise
    import flax.linen
    import jax
    import numpy as np
    import optax
    import orbax.checkpoint
    try:
        import matplotlib.figure
        import tensorboardX
    except ImportError:
        pass

    def state():
        loggers = {
            name: (logger.level, logger.handlers[:], logger.filters[:], logger.disabled)
            for name, logger in [("", logging.root), *logging.root.manager.loggerDict.items()]
            if isinstance(logger, logging.Logger)
        }
        untouched = (logging.NOTSET, [], [], False)  # a logger that only exists changes nothing
        return {
            "loggers": {name: str(what) for name, what in loggers.items() if what != untouched},
            "logging": (logging.getLoggerClass(), logging.root.manager.disable),
            "hooks": (sys.unraisablehook, sys.excepthook, sys.displayhook, threading.excepthook),
            "environment": dict(os.environ),
            "warnings": (warnings.filters[:], warnings.showwarning),
            "signals": {number: str(signal.getsignal(number)) for number in signal.valid_signals()},
            "jax": dict(jax.config.values),
            "path": (sys.path[:], os.getcwd()),
            "numpy": (np.geterr(), np.get_printoptions()),
        }

    def changed(since):
        now = state()
        for name, was in since.items():
            if isinstance(was, dict) and was != now[name]:
                names = was.keys() | now[name].keys()
                pairs = {n: (was.get(n), now[name].get(n)) for n in names}
                return name, {n: pair for n, pair in pairs.items() if pair[0] != pair[1]}
            if was != now[name]:
                return name, was, now[name]

    before = state()
"""


def python(code):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_training_loading_and_embedding_change_nothing_global(tmp_path):
    code = f"""\
    from pathlib import Path
    import earth_embed
    assert changed(before) is None, changed(before)

    from earth_embed.config import *
    from earth_embed.data import Splits
    from earth_embed.data.sources import ArraySource
    from earth_embed.training.loop import train

    rng = np.random.default_rng(0)
    source = ArraySource(rng.normal(size=(64, 6)).astype(np.float32), rng.uniform(-90, 90, (64, 2)))
    experiment = Experiment(
        "small",
        (Modality("series", "memory", "sample", width=8, depth=1),),
        Pair(),
        LocationConfig(SphericalHarmonics(4), Siren((8,)), features=8),
        input=Input(loader="python"),
        batch_size=32,
        steps=2,
    )
    train(experiment, Path({str(tmp_path / "run")!r}), {{"series": Splits(source, source)}})
    assert changed(before) is None, changed(before)

    encoder = earth_embed.load({str(tmp_path / "run")!r})
    assert encoder([8.5, -70.7], [47.4, -33.5]).shape == (2, 8)
    assert changed(before) is None, changed(before)

    from earth_embed.cli import main
    for arguments, status in ((["--version"], None), (["no-such-command"], 2)):
        try:
            main(arguments)
        except SystemExit as error:
            assert error.code == status
    assert changed(before) is None, changed(before)
    print("nothing")
    """
    assert python(STATE + code).splitlines()[-1] == "nothing"


def test_nothing_needs_modules_that_only_unix_has():
    code = """\
    import importlib
    import pkgutil
    import sys

    # Third parties first: some of them have Unix-only parts of their own.
    import filelock, jax, numpy, optax, orbax.checkpoint, flax.linen, tqdm, tyro

    for name in ("fcntl", "resource", "grp", "pwd", "termios"):
        sys.modules[name] = None  # importing it fails, as on Windows
    import earth_embed
    for module in pkgutil.walk_packages(earth_embed.__path__, "earth_embed."):
        if not module.name.startswith(("earth_embed.datasets", "earth_embed.__main__")):
            importlib.import_module(module.name)
    from earth_embed.training.accounting import Meter, peak_memory
    assert peak_memory() == 0
    assert "peak_memory_bytes" not in Meter(0).rates()
    """
    python(code)
