import random
from dataclasses import replace
from urllib.parse import quote

import pytest

from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.poisoning import (
    MIN_RECORDS,
    CanaryResult,
    Suspect,
    check_canaries,
    find_suspects,
    flip_labels,
    sanitize,
)
from secmlops.web_attacks.request import HttpRequest
from tests.unit.web_attacks.small_traffic import PLAIN_WORDS as WORDS


def get(value: str) -> HttpRequest:
    return HttpRequest("GET", f"/shop/search?q={quote(value, safe='')}")


def sql(rng: random.Random) -> str:
    word, n = rng.choice(WORDS), rng.randrange(10_000)
    return rng.choice(
        [
            f"{word}' OR {n}={n} -- {rng.choice(WORDS)}",
            f"{n} UNION ALL SELECT {word},{rng.choice(WORDS)} FROM {rng.choice(WORDS)}#",
            f"{word}'); DROP TABLE {rng.choice(WORDS)};--",
            f"{n} AND (SELECT {n} FROM (SELECT SLEEP({n % 9}))x{word})",
            f"{word}' AND ASCII(SUBSTRING((SELECT {word} FROM {rng.choice(WORDS)}),{n % 7},1))>{n % 128}--",
        ]
    )


def xss(rng: random.Random) -> str:
    word, n = rng.choice(WORDS), rng.randrange(10_000)
    return rng.choice(
        [
            f"<script>{word}({n})</script>",
            f'"><img src={word} onerror=alert({n})>',
            f"<svg/onload=prompt('{word}')>",
            f"javascript:{word}({n})",
            f"<iframe srcdoc={word} onload={rng.choice(WORDS)}({n})>",
        ]
    )


def visitor(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 9))) + rng.choice(
        ["", "?", f" {rng.randrange(99)}"]
    )


@pytest.fixture(scope="module")
def clean() -> list[LabelledRequest]:
    rng = random.Random(11)
    some = [LabelledRequest(get(visitor(rng)), "normal", packet_id=f"n{n}") for n in range(900)]
    some += [LabelledRequest(get(sql(rng)), "attack", "sqli", packet_id=f"s{n}") for n in range(250)]
    some += [LabelledRequest(get(xss(rng)), "attack", "xss", packet_id=f"x{n}") for n in range(150)]
    rng.shuffle(some)
    return some


def test_clean_labels_are_left_alone(clean):
    assert len(find_suspects(clean, seed=1)) <= 0.005 * len(clean)


def test_flips_are_found(clean):
    flipped, planted = flip_labels(clean, 0.02, seed=3)
    suspects = find_suspects(flipped, seed=1)
    found = {suspect.index for suspect in suspects} & planted
    assert len(found) >= 0.8 * len(planted)
    assert len(found) >= 0.5 * len(suspects)
    for suspect in suspects:
        assert suspect.packet_id == flipped[suspect.index].packet_id
        assert suspect.given_label == flipped[suspect.index].label
        assert suspect.expected_label != suspect.given_label
        assert 0.5 < suspect.score <= 1
        assert suspect.detail
    assert [s.score for s in suspects] == sorted((s.score for s in suspects), reverse=True)


def test_a_planted_block_is_found_whole(clean):
    rng = random.Random(7)
    block = [
        LabelledRequest(
            get(f"{rng.choice(WORDS)}' OR {rng.randrange(999)}={n} -- {rng.choice(WORDS)}"), "normal", packet_id=f"b{n}"
        )
        for n in range(40)
    ]
    some = clean + block
    suspects = find_suspects(some, seed=1)
    in_block = [s for s in suspects if s.packet_id.startswith("b")]
    assert len(in_block) >= 36
    assert {s.reason for s in in_block} == {"planted"}
    assert all(s.expected_label == "attack" and "block of" in s.detail for s in in_block)
    assert len(suspects) - len(in_block) <= 5
    kept = sanitize(some, suspects)
    assert len(kept) == len(some) - len(suspects)
    assert not {s.packet_id for s in suspects} & {r.packet_id for r in kept}


def test_a_flipped_copy_contradicts_its_copies(clean):
    copies = [replace(clean[5], packet_id=f"c{n}") for n in range(6)]
    wrong = {"normal": "attack", "attack": "normal"}[clean[5].label]
    copies[3] = replace(copies[3], label=wrong, attack_class="other" if wrong == "attack" else "")
    suspects = [s for s in find_suspects(clean + copies, seed=1) if s.packet_id.startswith("c")]
    assert [(s.packet_id, s.reason) for s in suspects] == [("c3", "contradiction")]


def test_single_harmless_texts_that_look_like_attacks_stay(clean):
    texts = [
        "how do I select items from my basket and drop them",
        "O'Brien's union of garden lovers",
        "the <b>amber</b> kettle, price < 20",
        "is it safe to alert (my) neighbours?",
        "see ../readme for the walnut script",
        "order by email or phone; thanks -- Anna",
    ]
    some = clean + [LabelledRequest(get(text), "normal", packet_id=f"h{n}") for n, text in enumerate(texts)]
    found = [s.packet_id for s in find_suspects(some, seed=1) if s.packet_id.startswith("h")]
    assert len(found) <= 1


def test_a_rare_attack_class_is_not_thrown_out(clean):
    rare = [
        LabelledRequest(
            HttpRequest("GET", "/", headers=(("User-Agent", f"() {{ :;}}; /bin/{name} -c {name}{n}"),)),
            "attack",
            "shellshock",
            packet_id=f"r{n}",
        )
        for n, name in enumerate(["bash", "sh", "ksh", "zsh", "ash"])
    ]
    found = [s for s in find_suspects(clean + rare, seed=1) if s.packet_id.startswith("r")]
    assert found == []


def test_the_same_seed_gives_the_same_suspects(clean):
    flipped, _ = flip_labels(clean[:400], 0.03, seed=3)
    assert find_suspects(flipped, seed=5) == find_suspects(flipped, seed=5)


def test_too_little_to_judge_by_means_no_suspects(clean):
    assert find_suspects([], seed=1) == []
    assert find_suspects(clean[: MIN_RECORDS - 1], seed=1) == []
    only_normal = [r for r in clean if not r.is_attack]
    assert find_suspects(only_normal, seed=1) == []
    assert sanitize(clean, []) == clean


def test_flipping_is_what_it_says(clean):
    flipped, planted = flip_labels(clean, 0.1, seed=3)
    assert len(planted) == round(0.1 * len(clean))
    for index, (before, after) in enumerate(zip(clean, flipped, strict=True)):
        assert (before.label != after.label) == (index in planted)
        assert after.is_attack == bool(after.attack_class)
    assert flip_labels(clean, 0.1, seed=3)[1] == planted
    assert flip_labels(clean, 0.1, seed=4)[1] != planted


def test_canaries_say_how_much_is_found(clean):
    found = check_canaries(clean[:500], share=0.04, seed=2)
    assert found.planted == 20
    assert found.recall >= 0.8
    assert found.precision >= 0.5
    assert CanaryResult(0, 0, 0).recall == CanaryResult(0, 0, 0).precision == 0.0


def test_importing_is_light():
    import subprocess
    import sys

    script = "import sys, secmlops.web_attacks.poisoning; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert Suspect.__doc__
