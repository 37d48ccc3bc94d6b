"""Progress that reads well in a pod's log and that the local runner can show on one line."""

import time
from collections.abc import Callable

RESULT = ">> "
UNDER_WAY = ".. "
_INTERVAL_S = 1.0


def say(text: str) -> None:
    """Print one line for the person who watches: what a step came to."""
    print(RESULT + " ".join(text.split()), flush=True)


def reporter(what: str) -> Callable[..., None]:
    """A callback `(done, total, message="")` that says how far the work is, at most once a second and at the end."""
    last = time.monotonic()

    def report(done: int, total: int, message: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _INTERVAL_S or done == total:
            last = now
            print(f"{UNDER_WAY}{what} {done:,}/{total:,} {message}", flush=True)

    return report
