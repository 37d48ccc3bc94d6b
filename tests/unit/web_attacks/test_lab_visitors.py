"""Visitors and attackers without a network: what they send, and that nothing but the payload tells them apart."""

from random import Random

import pytest

from secmlops.web_attacks.decoding import parts
from secmlops.web_attacks.http1 import parse_request
from secmlops.web_attacks.lab.attacker import CLASS_SHARES, MALFORMED, UnknownAttackClass, attack, raid
from secmlops.web_attacks.lab.crawler import SUSPICIOUS, Visitor, visit
from secmlops.web_attacks.lab.sites import SITES
from secmlops.web_attacks.lab.wire import Draft, Encoded, LabReply, LabRequest, encode, nested, target
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES

NOT_FOUND = LabReply(404)


def drain(script, reply: LabReply = NOT_FOUND) -> list[LabRequest]:
    sent = [next(script)]
    while True:
        try:
            sent.append(script.send(reply))
        except StopIteration:
            return sent


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_a_visit_has_exactly_the_wanted_number_of_well_formed_harmless_requests(site):
    sent = drain(visit(site, Random(site.name), 60))
    assert len(sent) == 60
    for request in sent:
        parsed = parse_request(request.wire)
        assert parsed.site == site.host
        assert (request.label, request.attack_class, request.payload) == ("normal", "", "")
        length = parsed.header("Content-Length")
        assert length is None or int(length) == len(parsed.body)


def test_sites_do_not_share_hosts_addresses_or_session_cookies():
    for name in ("host", "address4", "address6", "session_cookie"):
        assert len({getattr(site, name) for site in SITES}) == len(SITES)


def test_about_an_eighth_of_harmless_requests_is_suspicious():
    sent = [
        request
        for number in range(300)
        for request in drain(visit(SITES[number % len(SITES)], Random(number), 1 + number % 23))
    ]
    share = sum(SUSPICIOUS in request.tags for request in sent) / len(sent)
    assert 0.10 <= share <= 0.15


def test_a_visitor_keeps_cookies_tokens_and_file_versions():
    site = SITES[0]
    visitor = Visitor(site, Random(7))
    while not visitor.program.runs_scripts:
        visitor = Visitor(site, Random(visitor.rng.random()))
    page = next(route for route in site.routes if route.path == "/")
    asset = next(route for route in site.routes if route.path == "/favicon.ico")
    form = next(route for route in site.routes if route.body == "form")
    body = b'<!DOCTYPE html><input type="hidden" name="_csrf" value="abc123"><a data-id="77" data-slug="old-map">'
    request = visitor.browse(page)
    visitor.learn(request, LabReply(200, (("set-cookie", "pt_session=s1; Path=/"),), body))
    file = visitor.browse(asset)
    visitor.learn(file, LabReply(200, (("etag", '"v1"'),), b""))
    again = parse_request(visitor.browse(asset).wire)
    posted = parse_request(visitor.browse(form).wire)
    assert "pt_session=s1" in posted.header("Cookie")
    assert b"_csrf=abc123" in posted.body
    assert posted.header("Referer") == f"http://{site.host}{parse_request(request.wire).uri}"
    if again.uri == parse_request(file.wire).uri:
        assert again.header("If-None-Match") == '"v1"'
    assert visitor.articles == [("77", "old-map")]


@pytest.mark.parametrize("attack_class", ATTACK_CLASSES)
def test_attacks_of_every_class_can_be_sent_at_every_site(attack_class):
    for site in SITES:
        attacker = Visitor(site, Random(f"{site.name}{attack_class}"), attacker=True)
        for _ in range(25):
            request = attack(attacker, attack_class)
            assert (request.label, request.attack_class) == ("attack", attack_class)
            assert request.payload and request.part
            assert request.wire.endswith(b"\r\n\r\n") or b"\r\n\r\n" in request.wire or MALFORMED in request.tags


def test_the_named_part_is_there_and_plain_payloads_survive_decoding():
    attacker = Visitor(SITES[0], Random(11), attacker=True)
    found = missing = 0
    for number in range(1500):
        attack_class = ATTACK_CLASSES[number % len(ATTACK_CLASSES)]
        request = attack(attacker, attack_class)
        if request.tags or not request.part.startswith(("query:", "body:", "cookie:", "header:")):
            continue
        named = {f"{part.location}:{part.name}" for part in parts(parse_request(request.wire))}
        if request.part in named or any(name.startswith(request.part) for name in named):
            found += 1
        else:
            missing += 1
    assert found > 500
    assert missing <= 0.1 * found


def test_attackers_send_the_headers_that_visitors_send():
    def presence(sent: list[LabRequest]) -> dict[str, float]:
        parsed = [parse_request(request.wire) for request in sent]
        return {
            name: sum(request.header(name) is not None for request in parsed) / len(parsed)
            for name in ("Host", "User-Agent", "Accept", "Accept-Encoding", "Accept-Language")
        }

    rng = Random(2)
    classes = [c for c in CLASS_SHARES if c not in ("scanner", "xxe", "log4shell", "shellshock")]
    attacks = [
        request
        for number in range(120)
        for request in drain(raid(SITES[number % 4], Random(number), rng.choices(classes, k=6), 0))
        if MALFORMED not in request.tags
    ]
    visits = [request for number in range(120) for request in drain(visit(SITES[number % 4], Random(f"v{number}"), 6))]
    attacking, visiting = presence(attacks), presence(visits)
    assert attacking["Host"] == visiting["Host"] == 1.0
    for name, share in attacking.items():
        assert abs(share - visiting[name]) < 0.25, name


def test_a_raid_browses_first_and_then_attacks_in_the_given_order():
    classes = ["sqli", "xss", "sqli"]
    sent = drain(raid(SITES[1], Random(4), classes, 3))
    assert [request.label for request in sent] == ["normal"] * 3 + ["attack"] * 3
    assert [request.attack_class for request in sent[3:]] == classes


def test_an_unknown_class_is_refused_before_anything_is_sent():
    with pytest.raises(UnknownAttackClass):
        attack(Visitor(SITES[0], Random(1), attacker=True), "flood")


def test_malformed_attacks_close_their_connection():
    attacker = Visitor(SITES[2], Random(8), attacker=True)
    broken = [r for r in (attack(attacker, "sqli") for _ in range(900)) if MALFORMED in r.tags]
    assert len(broken) > 5
    assert all(request.last for request in broken)
    assert any(not request.complete for request in broken) or len(broken) < 20


def test_dotted_names_become_nested_json():
    fields = [("a.b", 1), ("a.c.0", "x"), ("a.c.1", "y"), ("rows.0.n", 1), ("rows.0.m", 2), ("z", True)]
    assert nested(fields) == {"a": {"b": 1, "c": ["x", "y"]}, "rows": [{"n": 1, "m": 2}], "z": True}


def test_text_is_escaped_and_encoded_text_is_not():
    draft = Draft("GET", ["a b", Encoded("..%2f")], "page", query=[("q", "x y&z"), ("r", Encoded("<'>"))])
    assert target(draft, plus_spaces=True) == "/a%20b/..%2f?q=x+y%26z&r=<'>"
    assert target(draft, plus_spaces=False) == "/a%20b/..%2f?q=x%20y%26z&r=<'>"


def test_chunked_bodies_read_back_whole():
    draft = Draft("POST", ["x"], "api", body="json", fields=[("note", "ä" * 900)])
    wire = encode(draft, "POST /x HTTP/1.1", [("Host", "h")], Random(1), plus_spaces=False, chunked=True)
    assert b"Transfer-Encoding: chunked" in wire and b"Content-Length" not in wire
    assert parse_request(wire).body == b'{"note":"' + "ä".encode() * 900 + b'"}'
