"""Injected changes change what they say they do, and nothing an attack would."""

from random import Random

import pytest

from secmlops.web_attacks.decoding import parts
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.site_changes import CHANGES

FORM = ("Content-Type", "application/x-www-form-urlencoded")
REQUESTS = [
    HttpRequest("GET", "/list.php?name=winter+shoes&page=2", headers=(("User-Agent", "Old/1.0"),)),
    HttpRequest("POST", "/cart", headers=(FORM, ("User-Agent", "Old/1.0")), body=b"item=lamp&qty=1"),
    HttpRequest("POST", "/api", headers=(("User-Agent", "Older/1.0"),), body=b'{"note": "hello world", "n": 1}'),
]


def changed(name: str, seed: int = 1) -> list[HttpRequest]:
    return CHANGES[name](REQUESTS, Random(seed))


@pytest.mark.parametrize("name", CHANGES)
def test_every_request_gets_a_changed_one_by_the_seed_alone(name):
    assert len(changed(name)) == len(REQUESTS)
    assert changed(name) == changed(name)
    assert changed(name) != REQUESTS


def test_a_release_moves_addresses_and_renames_fields_but_keeps_values():
    first, form, tree = changed("new_release")
    assert first.uri.endswith("name=winter+shoes&" + first.uri.rpartition("&")[2]) and ".php" not in first.uri
    assert [part.text for part in parts(form) if part.location == "body"] == ["lamp", "1"]
    assert b"hello world" in tree.body and b'"note"' not in tree.body


def test_new_programs_change_the_user_agent_alone():
    for before, after in zip(REQUESTS, changed("new_programs"), strict=True):
        assert after.header("user-agent") != before.header("user-agent")
        assert (after.uri, after.body) == (before.uri, before.body)


def test_another_language_changes_words_and_keeps_names_and_numbers():
    first, form, tree = changed("other_language")
    assert "shoes" not in first.uri and first.uri.endswith("&page=2") and first.uri.startswith("/list.php?name=%C")
    assert form.body.startswith(b"item=%C") and form.body.endswith(b"&qty=1")
    assert b"hello" not in tree.body and b'"n": 1' in tree.body


def test_a_busy_season_sends_what_the_writing_ones_sent_by_the_same_programs():
    for before, after in zip(REQUESTS, changed("busy_season"), strict=True):
        assert after.method == "POST"
        assert after.header("user-agent") == before.header("user-agent")
