"""A restart, in good order or not, changes nothing that was decided."""

import pytest

from serving.retrain.alerts import Notification
from serving.retrain.starters import RunState
from tests.serving.retrain.conftest import alert, notification


def test_what_was_answered_stays_answered(open_place):
    place = open_place()
    place.outcomes()
    place.finish()

    again = open_place(place.starter)
    assert again.outcomes() == ["repeated"]
    assert again.outcomes(alert(fingerprint="b2")) == ["cooling_down"]
    labels = {"use_case": "web_attacks"}
    before, after = (
        one.registry.get_sample_value("secmlops_retrain_last_start_timestamp_seconds", labels) for one in (place, again)
    )
    assert before == after


def test_a_retraining_under_way_goes_on(open_place):
    starter = open_place().starter
    first = open_place(starter)
    first.outcomes()

    again = open_place(starter)
    assert again.outcomes(alert(fingerprint="b2")) == ["busy"]
    again.finish(RunState.FAILED)
    assert again.audited("finished")[0]["state"] == "failed"


def crash_while_starting(place, *, started: bool):
    """As if the process ended between the record of the intention and that of the run's id."""
    take = place.starter.start

    def start(order):
        if started:
            take(order)
        raise KeyboardInterrupt

    place.starter.start = start
    with pytest.raises(KeyboardInterrupt):
        place.desk.take(Notification.model_validate(notification()))
    place.starter.start = take


def test_a_crash_after_the_start_finds_the_run_again(open_place):
    place = open_place()
    crash_while_starting(place, started=True)

    again = open_place(place.starter)
    assert again.audited("started")[0]["run_id"] == place.starter.orders[0].name
    assert again.outcomes() == ["repeated"]
    again.finish()
    assert len(again.starter.orders) == 1


def test_a_crash_before_the_start_is_closed_as_lost(open_place):
    place = open_place()
    crash_while_starting(place, started=False)

    again = open_place(place.starter)
    assert again.audited("finished")[0]["state"] == "lost"
    assert again.registry.get_sample_value("secmlops_retrain_running", {"use_case": "web_attacks"}) == 0


def test_flapping_is_remembered(open_place):
    starter = open_place().starter
    for minute in range(4):
        one = open_place(starter, cooldown_s=1.0)
        one.later(minutes=minute)
        outcome = one.outcomes(alert(one.now[0]))
        if one.desk._history.run:
            one.finish()
    assert outcome == ["flapping"]
