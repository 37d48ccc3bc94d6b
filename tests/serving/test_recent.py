"""Remembered answers: bounded, and never anything but what was put in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.base import Batch, _keys
from serving.limits import Limits
from serving.recent import Recent
from tests.serving.model_doubles import Lengths

QUESTIONS = ["a", b"a", b'"a"', {"a": 1}, b'{"a":1}', b"", b"\0", b"json\0[]\0", np.float32([97]), b"\0\0\xc2B"]
ASKED = [(), ("certify",), ("certify", "more"), ('certify","more',)]


@given(st.integers(2, 8), st.lists(st.tuples(st.binary(max_size=1), st.booleans())))
def test_it_never_grows_beyond_its_size_and_never_mixes_answers_up(size, steps):
    recent = Recent(size)
    for key, ask in steps:
        if ask:
            assert recent.get(key) in (None, (key,))
        else:
            recent.put(key, (key,))
            assert recent.get(key) == (key,)
        assert len(recent._young) + len(recent._old) <= size


def test_what_is_asked_for_stays():
    recent = Recent(4)
    recent.put(b"kept", (1,))
    for number in range(20):
        recent.put(bytes([number]), (number,))
        assert recent.get(b"kept") == (1,)
    assert recent.get(b"\0") is None


def test_many_are_found_as_one_is():
    recent = Recent(4)
    for number in range(4):
        recent.put(bytes([number]), (number,))
    assert recent.find([b"\3", b"?", b"\1", b"\3"]) == [(3,), None, (1,), (3,)]
    for number in range(4, 8):
        recent.find([b"\1"])
        recent.put(bytes([number]), (number,))
    assert recent.find([b"\1", b"\2"]) == [(1,), None]


@given(st.lists(st.tuples(st.sampled_from(QUESTIONS), st.sampled_from(ASKED)), min_size=1))
def test_no_two_questions_share_a_key(questions):
    keys = {(repr(instance), asked): _keys([instance], asked)[0] for instance, asked in questions}
    assert len(set(keys.values())) == len(keys)
    assert all(len(key) == 32 for key in keys.values())


def test_keys_stand_in_the_order_of_the_questions():
    assert _keys(QUESTIONS, ()) == [key for question in QUESTIONS for key in _keys([question], ())]


async def test_a_model_answers_the_same_request_once():
    model = Lengths(Limits())
    assert await _answers(model, [b"a", b"bc"]) == [(1,), (2,)]
    assert await _answers(model, [b"bc", b"def", b"a"]) == [(2,), (3,), (1,)]
    assert model.answered == 3
    model.stop()


async def test_text_and_bytes_that_look_alike_are_different_requests():
    model = Lengths(Limits())
    assert await _answers(model, ['{"a":1}']) == [(7,)]
    await _answers(model, [b'"{\\"a\\":1}"'])
    assert model.answered == 2
    model.stop()


async def _answers(model, instances):
    return (await model.predict(Batch({}, instances))).answers
