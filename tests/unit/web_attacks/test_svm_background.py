import re

from secmlops.web_attacks.background import normal_texts
from secmlops.web_attacks.known_attacks import attack_texts
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES


def test_benign_texts_repeat_with_the_seed_and_differ_without_it():
    first = normal_texts(300, 1)
    assert first == normal_texts(300, 1)
    assert len(set(first)) == len(first) == 300
    assert len(set(first) & set(normal_texts(300, 2))) < 150


def test_benign_texts_leave_no_slot_open_and_are_of_many_kinds():
    texts = normal_texts(2000, 3)
    assert not [text for text in texts if re.search(r"<<[a-z]+\d*>>", text)]
    assert sum(" " in text for text in texts) > 800  # prose
    assert any(not text.isascii() for text in texts)  # other scripts
    assert any(text.startswith("Mozilla/5.0") for text in texts)
    assert any(text.startswith("{") for text in texts)


def test_attacks_repeat_with_the_seed_and_cover_every_class():
    found = attack_texts(1500, 1)
    assert found == attack_texts(1500, 1)
    assert len(found) == 1500
    assert {kind for _, kind in found} == set(ATTACK_CLASSES)
    assert not [text for text, _ in found if re.search(r"<<[a-z]+>>", text)]


def test_no_attack_is_also_a_benign_text():
    benign = set(normal_texts(4000, 5))
    assert not [text for text, _ in attack_texts(2000, 5) if text in benign]
