"""Rewritings of SQL injections.

The transformations are the publicly described ones (WAF-A-MoLE, arXiv 2001.01952; sqlmap's tamper scripts as
documented; each engine's manual for what it ignores), written over a small lexer that knows which characters
of a payload lie inside a string of the attacked query and leaves those alone.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from secmlops.web_attacks.mutations.mutation import mutation, random_case, some, words

_SQLI = ("sqli",)
_ALL = ("mysql", "postgresql", "sqlite", "mssql", "oracle")

_KEYWORD_LIST = """
    all and any as asc ascii avg between by case cast char coalesce concat concat_ws convert count cross
    current_user declare delete desc distinct drop else elt end exec execute exists extractvalue from full
    group_concat group having hex if ifnull in inner insert instr into is isnull join left length lower like
    limit load_file max mid min not null nullif nvl offset on or order ord outer pg_sleep procedure quote regexp
    replace right rlike select sleep substr substring sum table then top trim true false union unhex update
    updatexml upper using values version waitfor delay when where xor benchmark chr randomblob unicode
"""
KEYWORDS = frozenset(_KEYWORD_LIST.split())
_CONDITION_STARTS = frozenset(["and", "or", "where", "when", "having", "not", "on", "xor", "if"])
_CONDITION_ENDS = frozenset(["and", "or", "then", "xor", "union", "order", "group", "limit", "having", "else", "end"])
_BEFORE_STRINGS = _CONDITION_STARTS | {"like", "rlike", "regexp", "between", "select", "then", "else", "as", "delay"}
_COMPARISONS = ("=", "<", ">", "<=", ">=", "<>", "!=")

_LEXER = re.compile(
    r"""
    (?P<space>\s+)
    |(?P<comment>/\*.*?(?:\*/|\Z)|--[^\n]*|\#[^\n]*)
    |(?P<string>'(?:[^']|'')*(?:'|\Z)|"(?:[^"]|"")*(?:"|\Z)|`[^`]*(?:`|\Z))
    |(?P<number>0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<word>[A-Za-z_@$][\w@$]*)
    |(?P<operator><=>|<>|!=|<=|>=|:=|\|\||&&|<<|>>|::|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ENDS_IN_VALUE = re.compile(r"[\w)\]%.@}]\Z")


@dataclass(slots=True)
class _Token:
    kind: str
    text: str

    @property
    def word(self) -> str:
        return self.text.lower() if self.kind == "word" else ""


def _quote_context(payload: str) -> int:
    """Length of the head that lies inside a string of the attacked query, its closing quote included."""
    first = re.search(r"['\"]", payload)
    if first is None:
        return 0
    head = payload[: first.start()].rstrip()
    last_word = re.search(r"\w+\Z", head)
    breaks_out = not head or (
        bool(_ENDS_IN_VALUE.search(head)) and not (last_word and last_word.group().lower() in _BEFORE_STRINGS)
    )
    return first.end() if breaks_out else 0


def _lex(payload: str) -> list[_Token]:
    """Tokens whose texts join to the payload; empty when a backslash-quote makes the strings ambiguous."""
    if re.search(r"\\['\"]", payload):
        return []
    start = _quote_context(payload)
    tokens = [_Token("lead", payload[:start])] if start else []
    tokens += [_Token(match.lastgroup or "operator", match.group()) for match in _LEXER.finditer(payload, start)]
    return tokens


def _join(tokens: list[_Token], otherwise: str) -> str:
    return "".join(token.text for token in tokens) if tokens else otherwise


def _keywords(tokens: list[_Token]) -> list[_Token]:
    return [token for token in tokens if token.word in KEYWORDS]


def _blanks(tokens: list[_Token]) -> list[_Token]:
    """White space between tokens, without the line ends that close a line comment."""
    after_line_comment = {
        id(after) for before, after in pairwise(tokens) if before.kind == "comment" and before.text[0] in "-#"
    }
    return [token for token in tokens if token.kind == "space" and id(token) not in after_line_comment]


def _significant(tokens: list[_Token]) -> list[_Token]:
    return [token for token in tokens if token.kind not in ("space", "comment")]


def _is_open(token: _Token) -> bool:
    """Whether a string is closed by the attacked query and not by the payload."""
    return token.kind == "string" and (len(token.text) < 2 or token.text[-1] != token.text[0])


@dataclass(slots=True)
class _Comparison:
    """`left operator right` that stands alone as a condition."""

    left: _Token
    operator: _Token
    right: _Token

    @property
    def truth(self) -> bool | None:
        """Its constant value, where both sides are plain literals."""
        left, right = self.left.text, self.right.text
        if self.left.kind == self.right.kind == "number" and left.isdigit() and right.isdigit():
            a, b = int(left), int(right)
            return {"=": a == b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}.get(self.operator.text, a != b)
        if self.left.kind == self.right.kind == "string" and left[0] == right[0] and self.operator.text == "=":
            a_text, b_text = left.strip(left[0]), right.strip(right[0])
            return a_text == b_text if a_text == b_text or a_text.lower() != b_text.lower() else None
        return None

    def replace(self, text: str) -> None:
        """Put `text` in place of the whole comparison."""
        self.left.text, self.operator.text, self.right.text = text, "", ""


def _comparisons(tokens: list[_Token]) -> list[_Comparison]:
    """Comparisons whose rewriting cannot change how their surroundings are parsed."""
    line = _significant(tokens)
    found = []
    for index in range(1, len(line) - 2):
        before, left, operator, right = line[index - 1 : index + 3]
        after = line[index + 3] if index + 3 < len(line) else None
        starts = before.word in _CONDITION_STARTS or before.text in ("(", "&&")
        ends = after is None or after.word in _CONDITION_ENDS or after.text in (")", ",", ";", "&&")
        operands = left.kind in ("number", "string", "word") and right.kind in ("number", "string")
        if starts and ends and operands and operator.text in _COMPARISONS and left.word not in KEYWORDS:
            found.append(_Comparison(left, operator, right))
    if any(token.word == "between" for token in line):
        return []
    return _without_gaps(tokens, found)


def _without_gaps(tokens: list[_Token], comparisons: list[_Comparison]) -> list[_Comparison]:
    """Drop comparisons with a comment in their middle, which replacing would shift."""
    position = {id(token): index for index, token in enumerate(tokens)}

    def plain(one: _Comparison) -> bool:
        between = tokens[position[id(one.left)] : position[id(one.right)]]
        return all(token.kind != "comment" for token in between)

    return [one for one in comparisons if plain(one)]


def _constant(truth: bool, quote: str, is_open: bool, rng: Random) -> str:
    """A constant condition of the given value; with `is_open`, one whose last quote the query supplies."""
    low = rng.randint(1, 9999)
    high = low + rng.randint(1, 99)
    if is_open:
        a, b = (rng.choice("bcdfghjk") * rng.randint(1, 4), "x")
        return f"{quote}{a}{quote}={quote}{a if truth else b}"
    true_forms = (f"{low}<{high}", f"{high}>{low}", f"{low}<>{high}", f"{low} IN ({low})", f"{low}={low}")
    false_forms = (f"{low}>{high}", f"{high}<{low}", f"{low}={high}", f"{low} IN ({high})", f"{low}<>{low}")
    return rng.choice(true_forms if truth else false_forms)


@mutation(_SQLI, _ALL)
def sql_keyword_case(payload: str, rng: Random) -> str:
    """Keywords and built-in functions in random case; every SQL engine folds their case."""
    tokens = _lex(payload)
    for token in some(_keywords(tokens), rng):
        token.text = random_case(token.text, rng)
    return _join(tokens, payload)


@mutation(_SQLI, _ALL)
def sql_whitespace(payload: str, rng: Random) -> str:
    """Blanks between tokens become tabs, line ends, form feeds or runs; all engines skip them alike."""
    tokens = _lex(payload)
    for token in some(_blanks(tokens), rng):
        token.text = "".join(rng.choice(" \t\n\r\f") for _ in range(rng.randint(1, 3)))
    return _join(tokens, payload)


@mutation(_SQLI, _ALL)
def sql_comment_for_blank(payload: str, rng: Random) -> str:
    """Blanks between tokens become block comments, which all engines read as white space."""
    tokens = _lex(payload)
    for token in some(_blanks(tokens), rng):
        token.text = rng.choice(("/**/", f"/*{words(rng)}*/", f" /*{words(rng)}*/ "))
    return _join(tokens, payload)


@mutation(_SQLI, _ALL)
def sql_line_comment_for_blank(payload: str, rng: Random) -> str:
    """Blanks between tokens become a line comment and its line end, which all engines read as white space."""
    tokens = _lex(payload)
    for token in some(_blanks(tokens), rng)[:3]:
        token.text = f" -- {words(rng)}\n"
    return _join(tokens, payload)


@mutation(_SQLI, ("mysql",))
def sql_hash_comment_for_blank(payload: str, rng: Random) -> str:
    """Blanks between tokens become a `#` comment and its line end, white space to MySQL and MariaDB."""
    tokens = _lex(payload)
    for token in some(_blanks(tokens), rng)[:3]:
        token.text = f" #{words(rng)}\n"
    return _join(tokens, payload)


@mutation(_SQLI, ("mysql",))
def sql_versioned_comment(payload: str, rng: Random) -> str:
    """Keywords inside `/*!50000 */`, which MySQL 5.0 and later (and MariaDB) execute."""
    tokens = _lex(payload)
    calls = {id(before) for before, after in pairwise(tokens) if after.text == "("}
    plain = [token for token in _keywords(tokens) if token.text.isalpha() and id(token) not in calls]
    for token in some(plain, rng)[:4]:
        token.text = f"/*!50000{token.text}*/"
    return _join(tokens, payload)


@mutation(_SQLI, _ALL)
def sql_trailing_words(payload: str, rng: Random) -> str:
    """More words after a payload's closing line comment, which every engine skips to the end of the line."""
    tokens = _lex(payload)
    if tokens and tokens[-1].kind == "comment" and tokens[-1].text.startswith("--"):
        blank = "" if tokens[-1].text[2:3].isspace() else " "
        return f"{payload}{blank} {words(rng, 8)}"
    return payload


@mutation(_SQLI, ("mysql",))
def sql_comment_style(payload: str, rng: Random) -> str:
    """A closing `#` becomes `-- ` and back, both line comments to MySQL and MariaDB."""
    tokens = _lex(payload)
    if not tokens or tokens[-1].kind != "comment" or tokens[-1].text.startswith("/*"):
        return payload
    last = tokens[-1]
    last.text = "-- " + last.text[1:] if last.text.startswith("#") else "#" + last.text[2:]
    return _join(tokens, payload)


@mutation(_SQLI, _ALL)
def sql_constant_condition(payload: str, rng: Random) -> str:
    """A constant condition such as `1=1` becomes another constant of the same truth value."""
    tokens = _lex(payload)
    constant = [one for one in _comparisons(tokens) if one.truth is not None]
    for one in some(constant, rng):
        one.replace(_constant(bool(one.truth), one.right.text[0], _is_open(one.right), rng))
    return _join(tokens, payload)


@mutation(_SQLI, _ALL)
def sql_redundant_condition(payload: str, rng: Random) -> str:
    """`AND <true>` before a condition or `OR <false>` within its parentheses; neither changes its value."""
    tokens = _lex(payload)
    for one in some(_comparisons(tokens), rng)[:2]:
        if _is_open(one.right):
            one.left.text = f"{_constant(True, '', False, rng)} AND {one.left.text}"
        else:
            redundant = rng.choice(("{0} AND {1}", "({0} OR {2})", "({1} AND {0})"))
            text = f"{one.left.text}{one.operator.text}{one.right.text}"
            one.replace(redundant.format(text, _constant(True, "", False, rng), _constant(False, "", False, rng)))
    return _join(tokens, payload)


@mutation(_SQLI, _ALL)
def sql_comparison(payload: str, rng: Random) -> str:
    """`a = b` becomes `a IN (b)` or `a BETWEEN b AND b`, `<>` becomes `!=`: the same comparison everywhere."""
    tokens = _lex(payload)
    for one in some([one for one in _comparisons(tokens) if not _is_open(one.right)], rng):
        left, right = one.left.text, one.right.text
        if one.operator.text == "=":
            one.replace(rng.choice((f"{left} IN ({right})", f"{left} BETWEEN {right} AND {right}")))
        elif one.operator.text in ("<>", "!="):
            one.operator.text = "!=" if one.operator.text == "<>" else "<>"
    return _join(tokens, payload)


@mutation(_SQLI, ("mysql", "sqlite", "mssql", "oracle"))
def sql_equals_like(payload: str, rng: Random) -> str:
    """`=` between literals without wildcards becomes LIKE; PostgreSQL alone has no LIKE for numbers."""
    tokens = _lex(payload)
    plain = [
        one
        for one in _comparisons(tokens)
        if one.operator.text == "=" and one.truth is not None and not re.search(r"[%_\\]", one.right.text)
    ]
    for one in some(plain, rng):
        one.operator.text = " LIKE "
    return _join(tokens, payload)


@mutation(_SQLI, ("mysql",))
def sql_logical_operator(payload: str, rng: Random) -> str:
    """AND becomes `&&`, OR becomes `||`: synonyms in MySQL's default mode (elsewhere `||` joins strings)."""
    tokens = _lex(payload)
    logical = [token for token in tokens if token.word in ("and", "or")]
    if any(token.word == "between" for token in tokens):
        return payload
    for token in some(logical, rng):
        token.text = "&&" if token.word == "and" else "||"
    return _join(tokens, payload)


def _operands(tokens: list[_Token], kind: str) -> list[_Token]:
    """Literals of a kind that stand on one side of a comparison, where an expression may stand as well."""
    sides = [side for one in _comparisons(tokens) for side in (one.left, one.right)]
    return [side for side in sides if side.kind == kind and not _is_open(side)]


@mutation(_SQLI, _ALL)
def sql_number_expression(payload: str, rng: Random) -> str:
    """An integer beside a comparison becomes an expression or decimal of the same value."""
    tokens = _lex(payload)
    for token in some([token for token in _operands(tokens, "number") if token.text.isdigit()], rng):
        value, extra = int(token.text), rng.randint(1, 99)
        token.text = rng.choice((f"({value + extra}-{extra})", f"(0+{value})", f"({value})", f"{value}.0"))
    return _join(tokens, payload)


@mutation(_SQLI, ("mysql", "sqlite"))
def sql_number_hex(payload: str, rng: Random) -> str:
    """The right side of a numeric comparison in base 16, an integer to SQLite and, beside a number, to MySQL."""
    tokens = _lex(payload)
    plain = [one for one in _comparisons(tokens) if one.left.text.isdigit() and one.right.text.isdigit()]
    for one in some(plain, rng):
        one.right.text = hex(int(one.right.text))
    return _join(tokens, payload)


@mutation(_SQLI, _ALL)
def sql_parentheses(payload: str, rng: Random) -> str:
    """Parentheses around an operand, with the blank before it gone: grouping only."""
    tokens = _lex(payload)
    chosen = {id(token) for token in some(_operands(tokens, "number") + _operands(tokens, "string"), rng)}
    blanks = {id(token) for token in _blanks(tokens)}
    for index, token in enumerate(tokens):
        if id(token) in chosen:
            token.text = f"({token.text})"
            if index and id(tokens[index - 1]) in blanks and rng.random() < 0.5:
                tokens[index - 1].text = ""
    return _join(tokens, payload)


def _string_literals(tokens: list[_Token]) -> list[_Token]:
    return [t for t in _operands(tokens, "string") if t.text[0] == "'" and "''" not in t.text[1:-1] and len(t.text) > 2]


@mutation(_SQLI, ("postgresql", "sqlite", "oracle"))
def sql_string_concatenation(payload: str, rng: Random) -> str:
    """A string beside a comparison is joined from two with the SQL standard's `||`."""
    tokens = _lex(payload)
    for token in some([token for token in _string_literals(tokens) if len(token.text) > 3], rng):
        cut = rng.randint(2, len(token.text) - 2)
        token.text = f"({token.text[:cut]}'||'{token.text[cut:]})"
    return _join(tokens, payload)


@mutation(_SQLI, ("mysql",))
def sql_string_hex(payload: str, rng: Random) -> str:
    """A string beside a comparison as a hexadecimal literal, a (binary) string to MySQL and MariaDB."""
    tokens = _lex(payload)
    for token in some(_string_literals(tokens), rng):
        token.text = "0x" + token.text[1:-1].encode("latin-1", "replace").hex()
    return _join(tokens, payload)


@mutation(_SQLI, ("mysql", "sqlite"))
def sql_string_char(payload: str, rng: Random) -> str:
    """A string beside a comparison as CHAR(code, ...), which MySQL and SQLite join from the codes."""
    tokens = _lex(payload)
    for token in some([t for t in _string_literals(tokens) if t.text.isascii()], rng):
        token.text = f"CHAR({','.join(str(ord(char)) for char in token.text[1:-1])})"
    return _join(tokens, payload)


@mutation(_SQLI, ("postgresql", "oracle"))
def sql_string_chr(payload: str, rng: Random) -> str:
    """A string beside a comparison as CHR(code)||CHR(code)..., in PostgreSQL and Oracle."""
    tokens = _lex(payload)
    for token in some([t for t in _string_literals(tokens) if t.text.isascii()], rng):
        token.text = f"({'||'.join(f'CHR({ord(char)})' for char in token.text[1:-1])})"
    return _join(tokens, payload)


MUTATIONS = (
    sql_keyword_case,
    sql_whitespace,
    sql_comment_for_blank,
    sql_line_comment_for_blank,
    sql_hash_comment_for_blank,
    sql_versioned_comment,
    sql_trailing_words,
    sql_comment_style,
    sql_constant_condition,
    sql_redundant_condition,
    sql_comparison,
    sql_equals_like,
    sql_logical_operator,
    sql_number_expression,
    sql_number_hex,
    sql_parentheses,
    sql_string_concatenation,
    sql_string_hex,
    sql_string_char,
    sql_string_chr,
)
