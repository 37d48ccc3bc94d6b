"""Events into windows into judgements, without processes: joins, time limits, bounds, streams, state."""

import json

import numpy as np
import pytest

from secmlops.detectors.config import KsConfig, MmdConfig, OnlineMmdConfig, PredictionConfig
from secmlops.detectors.opening import open_detector
from secmlops.detectors.verdict import DriftOrAttack, EvidenceReader, fit_judge
from secmlops.web_attacks import drift_features
from secmlops.web_attacks.jsonl import from_json
from serving.detectors.events import Event, Half, Head
from serving.detectors.frames import Unpacker, pack
from serving.detectors.readers import Images, Requests
from serving.detectors.seen import Seen
from serving.detectors.settings import Settings
from serving.detectors.state import FILE, StateFile
from serving.detectors.subjects import AdversarialInputs, DriftOfWindows, Verdicts
from serving.detectors.watch import Watch
from serving.limits import Limits
from tests.serving.detectors.conftest import v1_response, v2_response
from tests.unit.detectors.test_verdict import world

LIMITS = Limits()
SETTINGS = Settings(window_rows=20, batch_rows=4, ttl_s=10, max_pending=3, stream_rows=8, save_every_s=1000)
SITE = ("shop", "digits")


def event(half, number, document, watched=SITE):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Event(Head(Half(half), str(number), *watched), body)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def probabilities(rows, seed):
    return np.random.default_rng(seed).dirichlet([1, 1, 1], rows)


@pytest.fixture(scope="module")
def predictions():
    return open_detector(PredictionConfig(p_val=0.01), probabilities(300, 0), "native")


def watching(detector, reader=None, settings=SETTINGS, **parts):
    return Watch(DriftOfWindows(detector, reader, settings, LIMITS), settings, LIMITS, **parts)


@pytest.mark.parametrize("response", [v1_response, v2_response])
def test_the_answers_of_any_service_are_watched(predictions, response):
    watch, window = watching(predictions), probabilities(20, 1)
    for start in range(0, 20, 5):
        watch.take(event("response", start, response(window[start : start + 5])))
    (judged,) = watch.take_report().windows
    expected = predictions.predict(window)["data"]
    assert judged["score"] == pytest.approx(-np.log10(expected["p_val"].min()))
    assert judged["detected"] == bool(expected["is_drift"])
    assert judged["rows"] == 20


def test_a_score_is_the_probability_of_the_second_class():
    scores = np.random.default_rng(0).random(100)
    detector = open_detector(PredictionConfig(), np.column_stack([1 - scores, scores]), "native")
    watch = watching(detector)
    for number in range(4):
        watch.take(event("response", number, {"predictions": [{"score": 0.99, "verdict": "attack"}] * 5}))
    (judged,) = watch.take_report().windows
    assert judged["detected"]


@pytest.mark.parametrize(
    ("reason", "document"),
    [
        ("wrong_shape", []),
        ("wrong_shape", {"predictions": []}),
        ("wrong_datatype", {"predictions": [{"label": "x"}]}),
        ("wrong_datatype", {"predictions": [{"probabilities": ["a", "b"]}]}),
        ("out_of_range", {"predictions": [{"probabilities": [0.9, 0.9, 0.9]}]}),
        ("wrong_shape", {"predictions": [{"probabilities": [0.5, 0.5]}]}),
        ("wrong_shape", {"predictions": [{"probabilities": [0.5, 0.5]}, {"probabilities": [1]}]}),
        ("wrong_shape", {"outputs": [{"name": "probabilities", "shape": [9], "datatype": "FP32", "data": [1]}]}),
        ("wrong_shape", {"outputs": [{"name": "probabilities", "datatype": "FP32", "data": [1]}]}),
        ("too_many_instances", {"predictions": [{"probabilities": [0.2, 0.3, 0.5]}] * 300}),
    ],
)
def test_answers_that_cannot_be_read_are_counted(predictions, reason, document):
    watch = watching(predictions)
    watch.take(event("response", 1, document))
    report = watch.take_report()
    assert dict(report.malformed) == {reason: 1}
    assert dict(report.events) == {"malformed": 1}


@pytest.fixture(scope="module")
def site():
    """Web requests with scores, and a detector on the use case's own view of them."""
    requests = [
        {
            "method": "GET",
            "url": f"/search?q={'ab' * (number % 9)}&page={number}",
            "headers": {"User-Agent": f"a{number}"},
        }
        for number in range(120)
    ]
    scores = np.random.default_rng(0).random(120)
    rows = drift_features.view([from_json(request) for request in requests], scores)
    return requests, scores, rows, open_detector(MmdConfig(n_permutations=50), rows[:100], "native")


def test_requests_and_answers_are_joined_in_either_order_and_viewed_as_the_use_case_does(site):
    requests, scores, rows, detector = site
    watch = watching(detector, Requests(LIMITS))
    for number in range(100, 120):
        halves = [
            event("request", number, {"instances": [requests[number]]}),
            event("response", number, {"predictions": [{"score": scores[number]}]}),
        ]
        for each in halves[:: 1 if number % 2 else -1]:
            watch.take(each)
    report = watch.take_report()
    (judged,) = report.windows
    assert judged["distance"] == pytest.approx(detector.predict(rows[100:])["data"]["distance"])
    assert report.events["used"] == 40
    assert watch.pending == 0


def test_a_window_holds_one_request_of_a_client_and_goes_on_so_after_a_restart(tmp_path):
    def calls(clients, first=0):
        for number, client in enumerate(clients, first):
            request = {"method": "GET", "url": f"/?n={number}", "headers": {"User-Agent": f"agent {client}"}}
            yield event("request", number, {"instances": [request]})
            yield event("response", number, {"predictions": [{"score": 0.1}]})

    rows = np.random.default_rng(0).normal(size=(100, len(drift_features.NAMES)))
    detector, store = open_detector(KsConfig(), rows, "native"), StateFile(tmp_path, "clients", 10_000_000)
    before = watching(detector, Requests(LIMITS), store=store)
    for each in calls([1, 1, 2, 1, 3, 2]):
        before.take(each)
    before.save()
    assert before.rows() == {SITE: 3}
    assert before.take_report().repeats == {SITE: 3}
    after = watching(detector, Requests(LIMITS), store=store)
    for each in calls([3, *range(17), 3, 16, *range(17, 21), 3, 5], 50):
        after.take(each)
    after.tick()
    report = after.take_report()
    assert [window["rows"] for window in report.windows] == [20]
    assert report.repeats[SITE] == 1 + 3 + 2
    assert after.rows() == {SITE: 3}, "20, 3 and 5 begin the next window"


def test_a_half_waits_so_long_and_so_many_wait(site):
    requests, _, _, detector = site
    clock = Clock()
    watch = watching(detector, Requests(LIMITS), clock=clock)
    for number in range(5):
        watch.take(event("request", number, {"instances": [requests[number]]}))
    assert watch.pending == 3
    assert dict(watch.take_report().dropped) == {"pending_full": 2}
    clock.now = 9.9
    watch.tick()
    assert watch.pending == 3
    clock.now = 10.1
    watch.tick()
    assert watch.pending == 0
    watch.take(event("response", 4, {"predictions": [{"score": 0.5}]}))
    report = watch.take_report()
    assert dict(report.dropped) == {"expired": 3}
    assert dict(report.events) == {"dropped": 3}
    assert watch.pending == 1, "the answer waits for a request that will not come again"


def test_what_waits_is_bounded_in_bytes_too(site):
    requests, _, _, detector = site
    size = len(json.dumps({"instances": [requests[0]]}))
    settings = SETTINGS.model_copy(update={"pending_bytes": size + 5})
    watch = watching(detector, Requests(LIMITS), settings)
    watch.take(event("request", 1, {"instances": [requests[0]]}))
    watch.take(event("request", 2, {"instances": [requests[1]]}))
    assert watch.pending == 1
    assert dict(watch.take_report().dropped) == {"pending_full": 1}


def test_halves_of_unequal_length_are_malformed(site):
    requests, _, _, detector = site
    watch = watching(detector, Requests(LIMITS))
    watch.take(event("request", 1, {"instances": requests[:2]}))
    watch.take(event("response", 1, {"predictions": [{"score": 0.5}]}))
    report = watch.take_report()
    assert dict(report.events) == {"malformed": 2}
    assert dict(report.malformed) == {"wrong_shape": 2}


def test_one_id_in_two_services_is_two_events(predictions):
    watch = watching(predictions)
    for watched in (SITE, ("other", "digits"), SITE):
        watch.take(event("response", 1, v1_response(probabilities(2, 0)), watched))
    assert dict(watch.take_report().events) == {"used": 2, "duplicate": 1}
    assert watch.rows() == {SITE: 2, ("other", "digits"): 2}


def test_windows_are_bounded_by_services_and_by_bytes(predictions):
    few = watching(predictions, settings=SETTINGS.model_copy(update={"max_services": 2}))
    one = watching(predictions, settings=SETTINGS.model_copy(update={"window_bytes": 3 * 8 * 20 + 1}))
    for watch, kept in ((few, 2), (one, 1)):
        for number in range(4):
            watch.take(event("response", 1, v1_response(probabilities(2, 0)), ("shop", f"s{number}")))
        assert len(watch.rows()) == kept
        assert watch.take_report().dropped["too_many_services"] == 4 - kept


def test_a_window_that_cannot_be_judged_is_counted_and_the_next_is_judged(predictions, monkeypatch):
    watch = watching(predictions)
    real = watch.subject.judge
    monkeypatch.setattr(watch.subject, "judge", lambda *_: 1 / 0)
    watch.take(event("response", 1, v1_response(probabilities(20, 1))))
    monkeypatch.setattr(watch.subject, "judge", real)
    watch.take(event("response", 2, v1_response(probabilities(20, 2))))
    report = watch.take_report()
    assert dict(report.failures) == {SITE: 1}
    assert len(report.windows) == 1


def test_an_event_may_fill_several_windows(predictions):
    watch = watching(predictions)
    watch.take(event("response", 1, v1_response(probabilities(50, 1))))
    assert [window["rows"] for window in watch.take_report().windows] == [20, 20]
    assert watch.rows() == {SITE: 10}


def test_a_restart_goes_on_where_the_windows_were(predictions, tmp_path):
    store = StateFile(tmp_path, "detector", 10_000_000)
    before, window = watching(predictions, store=store), probabilities(20, 3)
    before.take(event("response", 1, v1_response(window[:13])))
    before.save()
    assert before.take_report().state_saved > 0
    after = watching(predictions, store=store)
    assert after.rows() == {SITE: 13}
    after.take(event("response", 1, v1_response(window[:13])))
    after.take(event("response", 2, v1_response(window[13:])))
    report = after.take_report()
    assert report.events["duplicate"] == 1
    expected = predictions.predict(window)["data"]
    assert report.windows[0]["score"] == pytest.approx(-np.log10(expected["p_val"].min()))


def stream(seed=0):
    rows = np.random.default_rng(seed).normal(size=(200, 64)).clip(-3, 3) / 6 + 0.5
    return open_detector(OnlineMmdConfig(ert=200, window_size=10, n_bootstraps=200), rows, "native")


def images(rows, seed, shift=0.0):
    values = np.random.default_rng(seed).normal(size=(rows, 8, 8)).clip(-3, 3) / 6 + 0.5 + shift
    return values.clip(0, 1)


def test_a_stream_of_each_service_goes_on_over_windows_and_restarts(tmp_path):
    detector, settings = stream(), SETTINGS.model_copy(update={"window_rows": 100})
    reader, store = Images((1, 8, 8), LIMITS), StateFile(tmp_path, "stream", 10_000_000)
    whole, first = watching(detector, reader, settings), watching(detector, reader, settings, store=store)
    calls = [event("request", number, {"instances": images(8, number).tolist()}) for number in range(4)]
    for each in calls:
        whole.take(each)
    for each in calls[:2]:
        first.take(each)
    first.save()
    second = watching(detector, reader, settings, store=store)
    for each in calls[2:]:
        second.take(each)
    told = [window["score"] for window in whole.take_report().windows]
    assert len(told) == 4
    assert told[2:] == pytest.approx([window["score"] for window in second.take_report().windows])
    other = event("request", 9, {"instances": images(8, 0).tolist()}, ("shop", "other"))
    second.take(other)
    assert second.take_report().windows[0]["score"] == pytest.approx(told[0]), "each service has a stream of its own"


def test_a_stream_that_drifts_is_a_detection_and_begins_anew():
    watch = watching(stream(), Images((1, 8, 8), LIMITS))
    for number in range(6):
        watch.take(event("request", number, {"instances": images(8, number, 0.1).tolist()}))
    windows = watch.take_report().windows
    assert any(window["detected"] for window in windows)
    assert all(window["detected"] == (window["score"] > window["threshold"]) for window in windows)


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-7],
    "header": lambda content: b"\xff" * 8 + content[8:],
    "text": lambda content: b"{}" * 50,
    "rows": lambda content: content.replace(b'rows\\":13', b'rows\\":12'),
    "service": lambda content: content.replace(b'windows\\":[', b'windowz\\":['),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_state_is_moved_aside_counted_and_not_fatal(predictions, tmp_path, how):
    store = StateFile(tmp_path, "detector", 10_000_000)
    before = watching(predictions, store=store)
    before.take(event("response", 1, v1_response(probabilities(13, 3))))
    before.save()
    content = store.path.read_bytes()
    store.path.write_bytes(DAMAGE[how](content))
    assert store.path.read_bytes() != content
    after = watching(predictions, store=store)
    assert dict(after.take_report().state_failures) == {"damaged": 1}
    assert after.rows() == {}
    assert not store.path.exists()
    assert store.path.with_suffix(".damaged").exists()
    after.take(event("response", 1, v1_response(probabilities(20, 3))))
    assert len(after.take_report().windows) == 1


def test_a_state_of_another_detector_or_of_another_size_is_not_gone_on_with(predictions, tmp_path):
    before = watching(predictions, store=StateFile(tmp_path, "one", 10_000_000))
    before.take(event("response", 1, v1_response(probabilities(13, 3))))
    before.save()
    for owner, size, reason in (("other", 10_000_000, "foreign"), ("one", 100, "damaged")):
        content = (tmp_path / FILE).read_bytes()
        after = watching(predictions, store=StateFile(tmp_path, owner, size))
        assert dict(after.take_report().state_failures) == {reason: 1}
        (tmp_path / FILE).write_bytes(content)


def test_rows_of_another_form_in_a_restored_window_cost_that_window_only(predictions, tmp_path):
    store = StateFile(tmp_path, "detector", 10_000_000)
    before = watching(predictions, store=store)
    before.take(event("response", 1, v1_response(probabilities(13, 3))))
    before.save()
    arrays, document = store.read()
    store.write(arrays | {"window.0.rows": np.zeros((13, 9), np.float32)}, document)
    after = watching(predictions, store=store)
    after.take(event("response", 2, v1_response(probabilities(20, 3))))
    after.save()
    report = after.take_report()
    assert report.failures[SITE] == 1
    assert len(report.windows) == 1


def test_a_state_that_cannot_be_written_is_counted(predictions, tmp_path):
    (tmp_path / "file").write_text("")
    watch = watching(predictions, store=StateFile(tmp_path / "file" / "below", "x", 1000))
    assert watch.take_report().state_failures["damaged"] == 1
    watch.take(event("response", 1, v1_response(probabilities(3, 3))))
    watch.save()
    assert watch.take_report().state_failures["unwritable"] == 1


class Bright:
    """Calls images adversarial whose mean is high."""

    class config:
        threshold = 0.6
        false_positive_rate = 0.05

    def predict(self, x):
        scores = x.mean(axis=(1, 2, 3)).astype(np.float64)
        return {"data": {"instance_score": scores, "is_adversarial": (scores > 0.6).astype(int)}, "meta": {}}


def test_a_window_with_more_flagged_instances_than_clean_traffic_has_is_a_detection():
    subject = AdversarialInputs(Bright(), Images((1, 8, 8), LIMITS), SETTINGS, LIMITS)
    watch = Watch(subject, SETTINGS, LIMITS)
    for number, bright in enumerate((1, 12)):
        values = np.concatenate([np.full((bright, 8, 8), 0.9), np.full((20 - bright, 8, 8), 0.3)])
        watch.take(event("request", number, {"instances": values.tolist()}))
    report = watch.take_report()
    assert [window["detected"] for window in report.windows] == [False, True]
    assert [window["score"] for window in report.windows] == [0.05, 0.6]
    assert report.windows[0]["threshold"] == 4 / 20, "of 20 at 5 %, more than 4 happen less than once in 100"
    assert sum(ratio > 1 for _, ratios in report.instances for ratio in ratios) == 13


class Numbers:
    """Reads rows of four numbers."""

    tensors = ()
    joins = False

    def read(self, instance):
        return np.asarray(instance)

    def rows(self, items, outputs):
        return np.stack(items)

    def groups(self, items):
        return None


def test_a_judge_tells_drift_from_attack_out_of_requests_and_scored_answers():
    reader = EvidenceReader(world(300, 0))
    made = [("drift", {"drift": 0.8}), ("attack", {"attacked": 0.4})]
    windows = [(kind, reader.read(world(100, seed, **how))) for seed in range(1, 6) for kind, how in made]
    config = fit_judge([evidence for _, evidence in windows], [kind for kind, _ in windows])
    reference = reader.reference
    judge = DriftOrAttack(config, reference.inputs, reference.probabilities, reference.scores)
    settings = SETTINGS.model_copy(update={"window_rows": 100})
    watch = Watch(Verdicts(judge, Numbers(), settings, LIMITS), settings, LIMITS)
    for number, how in enumerate(({}, {"drift": 0.8}, {"attacked": 0.4})):
        signals = world(100, 900 + number, **how)
        answer = [
            {"probabilities": each, "adversarial_score": score}
            for each, score in zip(signals.probabilities.tolist(), signals.scores.tolist(), strict=True)
        ]
        watch.take(event("request", number, {"instances": signals.inputs.tolist()}))
        watch.take(event("response", number, {"predictions": answer}))
    told = watch.take_report().windows
    assert [window["verdict"] for window in told] == ["clean", "drift", "attack"]
    assert [window["detected"] for window in told] == [False, True, True]
    assert all(window["detected"] == (window["score"] > window["threshold"]) for window in told)
    assert told[2]["attack_probability"] > 0.5 > told[1]["attack_probability"]
    assert told[1]["moved"]


def test_a_permutation_tests_zero_is_below_one_in_so_many():
    rows = np.random.default_rng(0).normal(size=(100, 64)) / 10 + 0.4
    detector = open_detector(MmdConfig(n_permutations=50), rows, "native")
    watch = watching(detector, Images((1, 8, 8), LIMITS))
    watch.take(event("request", 1, {"instances": images(20, 1, 0.3).tolist()}))
    (judged,) = watch.take_report().windows
    assert judged["detected"]
    assert judged["score"] == pytest.approx(np.log10(51))
    assert judged["score"] > judged["threshold"]


def test_frames_carry_events_in_any_pieces():
    events = [event("request", "a", b""), event("response", "b", b"\x00\xff" * 300), event("request", "c", b"x")]
    data = b"".join(map(pack, events))
    for step in (1, 7, len(data)):
        unpacker = Unpacker()
        pieces = (data[start : start + step] for start in range(0, len(data), step))
        assert [each for piece in pieces for each in unpacker.feed(piece)] == events


def test_what_was_seen_is_bounded_and_at_least_half_is_known():
    seen = Seen(10)
    digests = [bytes([number]) * 16 for number in range(30)]
    assert all(map(seen.add, digests))
    assert not any(map(seen.add, digests[-5:]))
    assert sum(len(array) for array in seen.arrays().values()) <= 10
    again = Seen(10)
    again.restore(**seen.arrays())
    assert not again.add(digests[-1])
    with pytest.raises(ValueError, match="no digests"):
        again.restore(np.zeros((2, 3), np.uint8), np.zeros((0, 16), np.uint8))


def test_ks_takes_whole_images_and_flat_ones_alike():
    flat = open_detector(KsConfig(), images(100, 0).reshape(100, -1), "native")
    cube = open_detector(KsConfig(), images(100, 0).reshape(100, 1, 8, 8), "native")
    told = []
    for detector in (flat, cube):
        watch = watching(detector, Images((1, 8, 8), LIMITS))
        watch.take(event("request", 1, {"instances": images(20, 5).tolist()}))
        told.append(watch.take_report().windows[0]["score"])
    assert told[0] == told[1]
