"""`earth-embed` with a data set that is never finished: one chip cannot be read.

A test that starts it knows that the preparation is under way, however quick the machine is. The
environment names the chip's file (HELD_CHIP), and one that is made when the chip is asked for
(REACHED).
"""

import os
import signal
from pathlib import Path

from earth_embed.cli import main
from earth_embed.datasets.catalogue import FROM_FILES
from earth_embed.datasets.s2_100k import S2100k


class Held(S2100k):
    """Chips of which one keeps its reader waiting until a signal ends it."""

    def sample(self, key):
        if key == os.environ["HELD_CHIP"]:
            Path(os.environ["REACHED"]).touch()
            while True:
                signal.pause()
        return super().sample(key)


if __name__ == "__main__":
    # A test session that was started in the background ignores Ctrl-C, and so would this process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    FROM_FILES[Held.NAME] = Held
    main()
