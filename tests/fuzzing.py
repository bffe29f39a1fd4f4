"""Property-based tests of files and input from elsewhere, and the count of what they tried.

EARTH_EMBED_TRIES=20 pytest -n 2 tests     # twenty times as many examples
"""

import functools
import os

from hypothesis import HealthCheck, given, settings

FACTOR = float(os.environ.get("EARTH_EMBED_TRIES", "1"))

tried = 0
"""Examples run so far in this process; conftest.py adds them up and prints the sum."""


def fuzz(examples, *arguments, **strategies):
    """`hypothesis.given`, with a number of examples that EARTH_EMBED_TRIES multiplies.

    Fixtures may be of function scope: such a test must not depend on what an example left there.
    """

    def decorate(test):
        @functools.wraps(test)
        def counted(*args, **kwargs):
            global tried
            tried += 1
            return test(*args, **kwargs)

        many = settings(
            max_examples=max(1, round(examples * FACTOR)),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
        return many(given(*arguments, **strategies)(counted))

    return decorate
