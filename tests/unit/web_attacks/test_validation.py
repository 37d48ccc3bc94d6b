import math
from dataclasses import replace

import pytest
from pydantic import ValidationError

from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.validation import InvalidDataset, validate


def records(normal: int = 60, attacks: int = 60) -> list[LabelledRequest]:
    return [
        LabelledRequest(
            HttpRequest("GET", f"/page/{n}", host=f"site{n % 3}.example", time=1.7e9 + n),
            "normal" if n < normal else "attack",
            "" if n < normal else "sqli",
            packet_id=str(n),
        )
        for n in range(normal + attacks)
    ]


def checks(found) -> set[str]:
    return {finding.check for finding in found.findings}


def test_sound_records_are_ok():
    found = validate(records())
    assert found.ok
    assert found.findings == ()
    assert found.labels == {"attack": 60, "normal": 60}
    assert found.attack_classes == {"sqli": 60}
    assert (found.records, found.sites, found.duplicates, found.reviewed) == (120, 3, 0, 120)
    assert (found.first_time, found.last_time) == (1.7e9, 1.7e9 + 119)
    assert math.isclose(found.largest_site_share, 1 / 3)
    found.require_ok()


def one_changed(**fields) -> list[LabelledRequest]:
    some = records()
    some[7] = replace(some[7], **fields)
    return some


def request_changed(**fields) -> list[LabelledRequest]:
    some = records()
    some[7] = replace(some[7], request=replace(some[7].request, **fields))
    return some


@pytest.mark.parametrize(
    ("some", "check"),
    [
        (one_changed(label="malicious"), "label"),
        (one_changed(attack_class="sqli"), "attack_class"),
        (one_changed(label="attack"), "attack_class"),
        (one_changed(label="attack", attack_class="unheard-of"), "attack_class"),
        (one_changed(packet_id="8"), "packet_id"),
        (request_changed(uri="/\u20ac"), "wire_text"),
        (request_changed(headers=(("X", "\u2028"),)), "wire_text"),
        (request_changed(time=math.nan), "time_range"),
        (request_changed(time=math.inf), "time_range"),
        (request_changed(time=1.7e12), "time_range"),  # milliseconds
        (request_changed(time=-1.0), "time_range"),
        (records(normal=49), "too_few_labels"),
        (records(attacks=0), "too_few_labels"),
        ([], "too_few_labels"),
    ],
)
def test_what_nothing_should_be_trained_on_is_an_error(some, check):
    found = validate(some)
    assert not found.ok
    assert check in {finding.check for finding in found.errors}
    with pytest.raises(InvalidDataset) as caught:
        found.require_ok()
    assert caught.value.reasons


@pytest.mark.parametrize(
    ("some", "check"),
    [
        (request_changed(method=""), "empty_method"),
        (request_changed(uri=""), "empty_target"),
        (request_changed(method="M" * 40), "method_length"),
        (request_changed(uri="/" + "u" * 70_000), "target_length"),
        (request_changed(headers=(("a", "b"),) * 1_001), "header_count"),
        (one_changed(reviewed=False), "unreviewed"),
        (
            records(attacks=60)
            + records(0, 3)[0:0]
            + [replace(records()[0], label="attack", attack_class="xxe", packet_id="x")],
            "small_class",
        ),
    ],
)
def test_what_a_person_should_see_is_a_warning(some, check):
    found = validate(some)
    assert found.ok
    assert check in checks(found)


def test_copies_and_contradictions():
    some = records()
    some += [replace(some[3], packet_id="copy"), replace(some[4], packet_id="torn", label="attack", attack_class="xss")]
    found = validate(some)
    assert found.duplicates == 2
    by_check = {finding.check: finding for finding in found.findings}
    assert by_check["duplicates"].count == 2
    assert by_check["contradiction"].count == 2
    assert set(by_check["contradiction"].packet_ids) == {"4", "torn"}
    assert found.ok  # one planted copy must not stop training


def test_time_order_and_unknown_times():
    backwards = records()[::-1]
    assert "time_order" in checks(validate(backwards))
    unknown = validate(request_changed(time=None))
    assert unknown.with_time == 119
    assert "time_unknown" in checks(unknown)


def test_review_can_be_demanded():
    assert not validate(one_changed(reviewed=False), require_reviewed=True).ok


def test_errors_come_first_and_the_report_is_json():
    some = one_changed(label="malicious")
    some[9] = replace(some[9], reviewed=False)
    found = validate(some)
    assert found.findings[0].severity == "error"
    assert type(found).model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValidationError):
        found.records = 0
