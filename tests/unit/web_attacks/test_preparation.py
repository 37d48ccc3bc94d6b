import random
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks import near_duplicates
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.preparation import SPLITS, Split, split, strip_leaks
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.validation import InvalidDataset
from tests.unit.web_attacks.small_traffic import PLAIN_WORDS as WORDS


def phrase(rng: random.Random, words: int = 9) -> str:
    return "+".join(rng.choice(WORDS) for _ in range(words))


def normals(count: int, sites: int, *, times: bool = True, seed: int = 1) -> list[LabelledRequest]:
    rng = random.Random(seed)
    return [
        LabelledRequest(
            HttpRequest("GET", f"/s?q={phrase(rng)}", time=1e9 + n if times else None, host=f"site{n % sites}.example"),
            "normal",
            packet_id=f"n{n}",
        )
        for n in range(count)
    ]


def attacks(count: int, classes: tuple[str, ...] = ("sqli", "xss"), *, times: bool = True) -> list[LabelledRequest]:
    rng = random.Random(2)
    return [
        LabelledRequest(
            HttpRequest("GET", f"/a?p='{phrase(rng)}", time=2e9 + n if times else None, host="honeypot.example"),
            "attack",
            classes[n % len(classes)],
            packet_id=f"a{n}",
        )
        for n in range(count)
    ]


def places(done: Split) -> dict[str, str]:
    return {r.packet_id: name for name in SPLITS for r in getattr(done, name)}


def assert_no_near_duplicates_across(done: Split) -> None:
    everything = [(name, record) for name in SPLITS for record in getattr(done, name)]
    groups = near_duplicates.cluster([record.request for _, record in everything])
    seen = defaultdict(set)
    for (name, _), group in zip(everything, groups.tolist(), strict=True):
        seen[group].add(name)
    assert all(len(names) == 1 for names in seen.values())


def test_whole_sites_are_held_back():
    done = split(normals(400, sites=10) + attacks(100), seed=3)
    sites = {name: {r.request.site for r in getattr(done, name) if not r.is_attack} for name in SPLITS}
    assert not sites["train"] & sites["test"]
    assert not sites["train"] & sites["validation"]
    assert not sites["validation"] & sites["test"]
    way = {part.label: part for part in done.report.labels}
    assert (way["normal"].by, way["normal"].why) == ("site", "")
    assert way["normal"].rows == {"train": 240, "validation": 80, "test": 80}
    assert (way["attack"].by, way["attack"].why) == ("time", "only 1 site")


def test_with_one_site_the_latest_are_held_back_for_each_class():
    done = split(normals(300, sites=1) + attacks(120), seed=3)
    for chosen in (lambda r: not r.is_attack, lambda r: r.attack_class == "sqli", lambda r: r.attack_class == "xss"):
        times = [[r.request.time for r in getattr(done, name) if chosen(r)] for name in SPLITS]
        assert max(times[0]) < min(times[1])
        assert max(times[1]) < min(times[2])
    assert done.report.missing_classes == dict.fromkeys(SPLITS, ())


def test_without_times_groups_are_drawn_by_lot():
    done = split(normals(300, sites=2, times=False) + attacks(120, times=False), seed=3)
    for part in done.report.labels:
        assert part.by == "group"
        assert "not known" in part.why
    assert_no_near_duplicates_across(done)
    assert len(done.train) == 252


def test_a_site_that_dwarfs_the_others_cannot_be_held_back_whole():
    big = [replace(r, request=replace(r.request, host="big.example")) for r in normals(900, sites=1)]
    done = split(big + normals(30, sites=6, seed=9) + attacks(60), seed=1)
    normal = done.report.labels[0]
    assert normal.by == "time"
    assert "whole sites would put" in normal.why


def test_near_duplicates_never_stand_on_two_sides():
    rng = random.Random(5)
    shared = [f"/s?q={phrase(rng, 20)}" for _ in range(15)]
    some = normals(300, sites=10)
    for n in range(150):  # the same tracking call, with small changes, on every site
        uri = shared[n % 15] + f"&n={n}" + rng.choice(["", "a", "bc"])
        some.append(
            LabelledRequest(
                HttpRequest("GET", uri, host=f"site{n % 10}.example", time=5e8 + n), "normal", packet_id=f"d{n}"
            )
        )
    done = split(some + attacks(90), seed=2)
    assert_no_near_duplicates_across(done)
    dropped = done.report.dropped
    assert dropped["train"] == 0
    assert dropped["validation"] + dropped["test"] > 0
    assert sum(map(len, (done.train, done.validation, done.test))) + sum(dropped.values()) == len(some) + 90


def test_the_same_records_and_seed_give_the_same_split_in_any_order():
    some = normals(200, sites=8) + attacks(60, times=False)
    shuffled = some[:]
    random.Random(4).shuffle(shuffled)
    assert places(split(some, seed=7)) == places(split(shuffled, seed=7))
    assert places(split(some, seed=7)) != places(split(some, seed=8))


def test_what_cannot_be_split_is_said():
    copies = [replace(r, packet_id=str(n)) for n, r in enumerate(normals(1, sites=1) * 50)]
    with pytest.raises(InvalidDataset, match="normal"):
        split(copies + attacks(60))
    with pytest.raises(InvalidDataset, match="attack"):
        split(normals(100, sites=6))


@pytest.mark.parametrize(("validation", "test"), [(0, 0.2), (0.2, 0), (0.5, 0.5), (-0.1, 0.2), (float("nan"), 0.1)])
def test_shares_must_leave_room(validation, test):
    with pytest.raises(ValueError, match="room"):
        split(normals(100, sites=6) + attacks(50), validation=validation, test=test)


def test_stripping_removes_what_tells_the_class():
    request = HttpRequest(
        "GET",
        "http://shop.example:8080/a?b=1",
        headers=(
            ("User-Agent", "curl"),
            ("HOST", "shop.example:8080"),
            ("accept", "*/*"),
            ("Referer", "https://shop.example:8080/cart?id=' OR 1=1"),
            ("Origin", "https://other.example"),
            ("Cookie", "a=1"),
            ("Cookie", "b=2"),
        ),
        body=b"body",
        host="shop.example:8080",
        time=5.0,
        src="10.0.0.1:5",
        dst="10.0.0.2:80",
        raw=b"GET / HTTP/1.1\r\n\r\n",
    )
    before = LabelledRequest(request, "attack", "sqli", tags=("t",))
    after = strip_leaks(before)
    assert after.request == HttpRequest(
        "GET",
        "/a?b=1",
        headers=(
            ("accept", "*/*"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("origin", "https://other.example"),
            ("referer", "/cart?id=' OR 1=1"),
            ("user-agent", "curl"),
        ),
        body=b"body",
    )
    assert after.packet_id == request.digest()
    assert (after.site, after.label, after.attack_class, after.tags) == ("shop.example", "attack", "sqli", ("t",))
    assert strip_leaks(after) == after


def test_an_attack_in_the_host_header_is_kept():
    request = HttpRequest("GET", "/", headers=(("Host", "x' OR 1=1 --"),), host="x' OR 1=1 --")
    assert strip_leaks(LabelledRequest(request, "attack", "sqli")).request.headers == (("host", "x' OR 1=1 --"),)


wire = st.text(st.characters(max_codepoint=255), max_size=30)


@settings(max_examples=100, deadline=None)
@given(wire, wire, st.lists(st.tuples(wire, wire), max_size=5), st.binary(max_size=30), wire)
def test_stripping_never_fails_and_keeps_the_body(method, uri, headers, body, host):
    record = LabelledRequest(HttpRequest(method, uri, headers=tuple(headers), body=body, host=host), "normal")
    after = strip_leaks(record).request
    assert after.body == body
    assert (after.host, after.time, after.src, after.dst, after.raw) == ("", None, "", "", b"")
    assert [name for name, _ in after.headers] == sorted(name for name, _ in after.headers)


def test_public_traffic_splits_by_site(public_data):
    import gzip
    import json

    some = []
    with gzip.open(public_data / "http" / "openappsec.jsonl.gz", "rt", encoding="utf-8") as lines:
        for n, line in enumerate(lines):
            if n % 10 and n < 50_000:
                continue
            row = json.loads(line)
            is_attack = row["label"] == "malicious"
            uri = row["url"].encode("utf-8", "replace").decode("latin-1")
            body = (row["data"] or "").encode("utf-8", "replace")
            some.append(
                LabelledRequest(
                    HttpRequest(row["method"], uri, body=body),
                    "attack" if is_attack else "normal",
                    "other" if is_attack else "",
                    site="" if is_attack else row["source"],
                    packet_id=str(n),
                )
            )
    done = split(some, seed=1)
    assert [part.by for part in done.report.labels] == ["site", "group"]
    assert_no_near_duplicates_across(done)
