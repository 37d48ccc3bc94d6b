"""Work off the event loop: a few threads, a bounded queue, a deadline."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any

from serving.limits import Limits
from serving.refusals import Reason, Refusal


class Offload:
    """Runs blocking calls on `limits.predict_threads` threads, with at most `limits.max_waiting` more in line.

    A call that misses its deadline keeps its place until it ends (threads cannot be stopped), so a model that hangs
    fills the places and the server says "overloaded" rather than collecting threads.
    """

    def __init__(self, limits: Limits):
        self._timeout_s = limits.predict_timeout_s
        self._places = BoundedSemaphore(limits.predict_threads + limits.max_waiting)
        self._threads = ThreadPoolExecutor(limits.predict_threads, thread_name_prefix="predict")

    async def run(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run `call(*args)` and wait for its result.

        Raises:
            Refusal: no place is free, or the deadline passed.
        """
        if not self._places.acquire(blocking=False):
            raise Refusal(Reason.OVERLOADED, "the server is busy: try again shortly")
        future = self._threads.submit(call, *args)
        future.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Refusal(Reason.TIMED_OUT, "the prediction took too long: send fewer or smaller requests") from None

    def close(self) -> None:
        """Take no more work; what waits is dropped, what runs may end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave(self, _: Future) -> None:
        self._places.release()
