"""Which series a PromQL expression selects: a tokenizer, not a parser.

It knows PromQL's words, strings, comments and brackets, and no grammar. A word is a series' name unless it is an
operator or a keyword, is called (a function or an aggregation), stands in the label list of `by`, `without`, `on`,
`ignoring`, `group_left` or `group_right`, or stands inside `{...}`. What it cannot read is an error, never ignored.
"""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|\#[^\n]*)
    | (?P<range>\[[^\]]*\])
    | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
    | (?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)
    | (?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)
    | (?P<operator>=~|!~|!=|==|<=|>=|[-+*/%^<>=@,:])
    | (?P<bracket>[(){}])
    """,
    re.VERBOSE,
)
_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_KEYWORDS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start", "end"})


@dataclass(frozen=True)
class Selector:
    """A series by name, and the labels that it is matched by."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()


def tokens(expression: str) -> list[tuple[str, str]]:
    """Kind and text of each token but spaces and comments."""
    found, place = [], 0
    while place < len(expression):
        match = _TOKEN.match(expression, place)
        if match is None:
            raise ValueError(f"cannot read {expression[place : place + 20]!r} in {expression!r}")
        if match.lastgroup != "space":
            found.append((match.lastgroup or "", match.group()))
        place = match.end()
    return found


def selectors(expression: str) -> list[Selector]:
    """Every series that the expression names, in its order."""
    found: list[Selector] = []
    stream = [*tokens(expression), ("end", "")]
    place = 0
    while stream[place][0] != "end":
        kind, text = stream[place]
        following = stream[place + 1][1]
        if text in _LISTS and following == "(":
            place = _closing(stream, place + 1, ")")
        elif text == "{":
            raise ValueError(f"a selector without a name in {expression!r}")
        elif kind == "word" and text.lower() not in _KEYWORDS | _LISTS and following not in ("(",):
            if following in _LISTS:  # an aggregation whose labels stand before its argument
                place += 1
                continue
            if following == "{":
                end = _closing(stream, place + 1, "}")
                found.append(Selector(text, _matchers(stream[place + 2 : end])))
                place = end
            else:
                found.append(Selector(text))
        place += 1
    return found


def _closing(stream: list[tuple[str, str]], place: int, bracket: str) -> int:
    while stream[place][1] != bracket:
        if stream[place][0] == "end":
            raise ValueError(f"{bracket} is missing")
        place += 1
    return place


def _matchers(inside: list[tuple[str, str]]) -> tuple[tuple[str, str, str], ...]:
    words = [token for token in inside if token[1] != ","]
    if len(words) % 3:
        raise ValueError(f"cannot read the matchers {inside}")
    starts = range(0, len(words), 3)
    return tuple((words[i][1], words[i + 1][1], words[i + 2][1].strip("\"'`")) for i in starts)
