"""Grammars, attack payloads and suspicious texts: variety, determinism, and errors that name their cause."""

from collections import Counter
from random import Random

import pytest

from secmlops.web_attacks.lab import attacker, crawler
from secmlops.web_attacks.lab.grammar import BrokenGrammar, Grammar, rules
from secmlops.web_attacks.lab.payloads import PAYLOADS
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES


def test_rules_are_read_from_text():
    made = rules(
        """
start
    one «two»
    a line that «»
    goes on
words:
    a b
    c
"""
    )
    assert made == {"start": ["one «two»", "a line that goes on"], "words": ["a", "b", "c"]}


def test_a_grammar_expands_slots_and_built_ins():
    grammar = Grammar({"start": ["«word»-«int:3-3»«nl»«hex:4»«nul»"], "word": ["x"]})
    text = grammar.generate(Random(1))
    assert text[:4] == "x-3\n" and len(text) == 9 and text[-1] == "\0"
    assert all(c in "0123456789abcdef" for c in text[4:8])


@pytest.mark.parametrize(
    ("table", "rule", "slot"),
    [
        ({"start": ["«nothing»"]}, "start", "nothing"),
        ({"start": ["«int:x-9»"]}, "start", "int:x-9"),
        ({"start": []}, "start", ""),
        ({"other": ["a"]}, "start", "start"),
    ],
)
def test_a_broken_grammar_names_its_rule_and_slot(table, rule, slot):
    with pytest.raises(BrokenGrammar) as caught:
        Grammar(table)
    assert (caught.value.rule, caught.value.slot) == (rule, slot)


def test_every_attack_class_has_a_grammar_a_share_and_places():
    assert set(PAYLOADS) == set(ATTACK_CLASSES) == set(attacker.CLASS_SHARES)
    assert sum(attacker.CLASS_SHARES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("attack_class", ATTACK_CLASSES)
def test_payloads_are_whole_and_repeatable(attack_class):
    def drawn(seed: int) -> list[str]:
        rng = Random(seed)
        return [attacker.payload(attack_class, rng) for _ in range(300)]

    texts = drawn(5)
    assert texts == drawn(5)
    assert texts != drawn(6)
    assert all(text for text in texts)
    assert not [text for text in texts if "«" in text or "»" in text or "§" in text]
    assert len(set(texts)) > 200


def test_ten_thousand_attacks_have_over_eight_thousand_distinct_payloads():
    rng = Random(0)
    drawn = [
        attacker.payload(attack_class, rng)
        for attack_class, share in attacker.CLASS_SHARES.items()
        for _ in range(round(10_000 * share))
    ]
    assert len(drawn) == 10_000
    assert len(set(drawn)) > 8_000


def test_an_unknown_attack_class_is_refused():
    with pytest.raises(attacker.UnknownAttackClass, match="phishing"):
        attacker.payload("phishing", Random(1))


def test_suspicious_texts_vary_and_speak_of_what_attacks_use():
    rng = Random(3)
    texts = [crawler.suspicious_text(rng) for _ in range(5_000)]
    assert len(set(texts)) > 3_500
    words = Counter()
    for text in texts:
        words.update(
            mark
            for mark in ("'", "select", "drop table", "<script>", "../", "127.0.0.1", "${", "{{", "1=1", "<3", "C:\\")
            if mark in text.lower() or mark in text
        )
    assert len(words) == 11
