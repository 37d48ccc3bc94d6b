"""Work off the event loop stays bounded in number and in time."""

import asyncio
import threading

import pytest

from serving.limits import Limits
from serving.offload import Offload
from serving.refusals import Reason, Refusal


async def test_results_and_refusals_come_back():
    offload = Offload(Limits())

    def refuse():
        raise Refusal(Reason.WRONG_SHAPE, "no")

    assert await offload.run(sum, [1, 2]) == 3
    with pytest.raises(Refusal) as caught:
        await offload.run(refuse)
    assert caught.value.reason is Reason.WRONG_SHAPE
    offload.close()


async def test_more_than_the_places_is_refused_at_once_and_places_come_back():
    offload = Offload(Limits(predict_threads=1, max_waiting=1))
    go = threading.Event()
    waiting = [asyncio.ensure_future(offload.run(go.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as caught:
        await offload.run(sum, [1])
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.status.http == 503
    go.set()
    await asyncio.gather(*waiting)
    assert await offload.run(sum, [1]) == 1
    offload.close()


async def test_a_hanging_call_times_out_and_keeps_its_place_until_it_ends():
    offload = Offload(Limits(predict_threads=1, max_waiting=1, predict_timeout_s=0.05))
    go, ended = threading.Event(), threading.Event()

    def hang():
        go.wait()
        ended.set()

    for _ in range(3):
        with pytest.raises(Refusal) as caught:
            await offload.run(hang)
        assert caught.value.reason is Reason.TIMED_OUT
    go.set()
    while not ended.is_set():
        await asyncio.sleep(0.01)
    assert await offload.run(sum, [1]) == 1
    offload.close()
