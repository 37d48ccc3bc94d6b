"""Rewritings of shell command injections, for POSIX shells and for cmd.exe.

What each rests on is said in the POSIX Shell Command Language (word expansion, field splitting, quote removal),
which dash, bash, busybox and ksh follow; those for cmd.exe rest on its documented escape character and folding.
"""

import base64
import re
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from secmlops.web_attacks.mutations.mutation import mutation, random_case, some, words

_CLASSES = ("cmd_injection", "shellshock")
_POSIX = ("sh",)
_QUOTING = ("sh", "php")  # PHP hands quotes inside backquotes on to the shell, but reads `$` and `\\` itself
_CMD = ("cmd",)

_RESERVED_LIST = """
    if then else elif fi do done case esac while until for in function select time export
"""
_RESERVED = frozenset(_RESERVED_LIST.split())
_LEXER = re.compile(
    r"""
    (?P<space>[ \t]+)
    |(?P<expansion>\$\{[^}]*(?:\}|\Z)|\$\(\([^()]*\)\)|\$[\w@*\#?!$-])
    |(?P<separator>&&|\|\||;;|[;&|\n(){}`]|\$\()
    |(?P<redirect>\d*(?:>>|<<|>&|<&|>|<))
    |(?P<string>'[^']*(?:'|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z))
    |(?P<comment>(?<![^\s;])\#[^\n]*)
    |(?P<word>(?:[\w./:,@%+=~^-])+)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_INNER_SLASH = re.compile(r"(?<=[\w.-])/(?=[\w.-])")
_JOINING = ("other", "string", "redirect", "expansion", "word")


@dataclass(slots=True)
class _Token:
    kind: str
    text: str


def _lex(payload: str) -> list[_Token]:
    """Tokens whose texts join to the payload; a quote at the front closes the attacked command's own quote."""
    lead = re.match(r"[\w./ -]{0,20}['\"](?=[\s;&|)])", payload)
    start = lead.end() if lead else 0
    tokens = [_Token("lead", payload[:start])] if start else []
    tokens += [_Token(match.lastgroup or "other", match.group()) for match in _LEXER.finditer(payload, start)]
    return tokens


def _join(tokens: list[_Token]) -> str:
    return "".join(token.text for token in tokens)


def _plain_words(tokens: list[_Token]) -> list[_Token]:
    """Words made of ordinary characters on which quoting and expansion have no other effect."""
    joined = set()
    for before, after in pairwise(tokens):
        if before.kind in _JOINING and after.kind == "word":
            joined.add(id(after))
        if before.kind == "word" and (after.kind in _JOINING or after.text == "("):
            joined.add(id(before))
    return [
        token
        for token in tokens
        if token.kind == "word"
        and id(token) not in joined
        and token.text not in _RESERVED
        and not re.search(r"[=~]|\A\d+\Z|\A-?\Z", token.text)
    ]


def _argument_blanks(tokens: list[_Token]) -> list[_Token]:
    """Blanks between two plain words of one command."""
    plain = {id(token) for token in _plain_words(tokens)}
    return [
        blank
        for before, blank, after in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if blank.kind == "space" and id(before) in plain and id(after) in plain
    ]


def _inside(word: str, rng: Random) -> int | None:
    """A position between two letters of a word."""
    spots = [match.start() + 1 for match in re.finditer(r"[a-z](?=[a-z])", word)]
    return rng.choice(spots) if spots else None


def _rewrite_words(payload: str, rng: Random, insertions: tuple[str, ...]) -> str:
    tokens = _lex(payload)
    for token in some(_plain_words(tokens), rng):
        spot = _inside(token.text, rng)
        if spot is not None:
            token.text = token.text[:spot] + rng.choice(insertions) + token.text[spot:]
    return _join(tokens)


@mutation(_CLASSES, _POSIX)
def sh_ifs(payload: str, rng: Random) -> str:
    """Blanks between a command and its arguments become `${IFS}`, which field splitting turns back into blanks."""
    tokens = _lex(payload)
    for token in some(_argument_blanks(tokens), rng):
        token.text = rng.choice(("${IFS}", "$IFS$9", "${IFS}${IFS}", "${IFS%?}"))
    return _join(tokens)


@mutation(_CLASSES, _POSIX)
def sh_blanks(payload: str, rng: Random) -> str:
    """Blanks between a command and its arguments become tabs or runs; the shell splits words at any of them."""
    tokens = _lex(payload)
    for token in some(_argument_blanks(tokens), rng):
        token.text = "".join(rng.choice(" \t") for _ in range(rng.randint(1, 4)))
    return _join(tokens)


@mutation(_CLASSES, _QUOTING)
def sh_empty_quotes(payload: str, rng: Random) -> str:
    """Empty quotes inside a word (`c''at`); quote removal takes them out again."""
    return _rewrite_words(payload, rng, ("''", '""'))


@mutation(_CLASSES, _QUOTING)
def sh_quoted_letters(payload: str, rng: Random) -> str:
    """One letter of a word in quotes (`c"a"t`); quote removal takes them out again."""
    tokens = _lex(payload)
    for token in some(_plain_words(tokens), rng):
        spot = _inside(token.text, rng)
        if spot is not None:
            quote = rng.choice("'\"")
            token.text = f"{token.text[:spot]}{quote}{token.text[spot]}{quote}{token.text[spot + 1 :]}"
    return _join(tokens)


@mutation(_CLASSES, _POSIX)
def sh_backslash(payload: str, rng: Random) -> str:
    r"""A backslash before a letter outside quotes (`c\at`) stands for that letter."""
    if "`" in payload:
        return payload
    return _rewrite_words(payload, rng, ("\\",))


@mutation(_CLASSES, _POSIX)
def sh_empty_expansion(payload: str, rng: Random) -> str:
    """An expansion that is empty inside a word (`c$@at`): no positional parameters, or an unset variable."""
    return _rewrite_words(payload, rng, ("$@", "${zq}", "$*", "${0#$0}"))


@mutation(_CLASSES, _POSIX, assumption="no other file matches the pattern")
def sh_glob(payload: str, rng: Random) -> str:
    """A letter of an absolute path becomes `?`; pathname expansion gives the path back."""
    tokens = _lex(payload)
    for token in some([t for t in _plain_words(tokens) if re.match(r"/[\w.-]+/[\w./-]+\Z", t.text)], rng):
        letters = [match.start() for match in re.finditer(r"(?<=[a-z]{2})[a-z](?=[a-z]{2})", token.text)]
        for spot in rng.sample(letters, min(len(letters), rng.randint(1, 2))):
            token.text = f"{token.text[:spot]}?{token.text[spot + 1 :]}"
    return _join(tokens)


@mutation(_CLASSES, _POSIX)
def sh_path(payload: str, rng: Random) -> str:
    """Slashes of an absolute path doubled or `/./` in it; the kernel resolves it to the same file."""
    tokens = _lex(payload)
    paths = [token for token in _plain_words(tokens) if token.text.startswith("/") and _INNER_SLASH.search(token.text)]
    for token in some(paths, rng):
        spot = rng.choice([match.start() for match in _INNER_SLASH.finditer(token.text)])
        token.text = token.text[:spot] + rng.choice(("//", "/./", "///")) + token.text[spot + 1 :]
    return _join(tokens)


def _between(tokens: list[_Token], index: int) -> bool:
    """Whether a separator ends one command and another follows, so that `;` is allowed there."""
    earlier = [token for token in tokens[:index] if token.kind != "space"]
    ends = bool(earlier) and earlier[-1].kind in ("word", "string", "lead") and earlier[-1].text not in _RESERVED
    later = [token for token in tokens[index + 1 :] if token.kind != "space"]
    return ends and bool(later) and later[0].kind == "word"


@mutation(_CLASSES, _POSIX)
def sh_newline(payload: str, rng: Random) -> str:
    """`;` between commands becomes a line end and the other way round: both end a command."""
    tokens = _lex(payload)
    ends = [token for index, token in enumerate(tokens) if token.text in (";", "\n") and _between(tokens, index)]
    for token in some(ends, rng):
        token.text = rng.choice(("\n", " ;", "\n\n"))
    return _join(tokens)


def _starts_after_semicolon(tokens: list[_Token]) -> list[int]:
    """Indices of plain command words that a `;` (or a line end) comes before."""
    plain = {id(token) for token in _plain_words(tokens)}
    found = []
    for index, token in enumerate(tokens):
        if id(token) not in plain or not index:
            continue
        before = tokens[index - 2] if tokens[index - 1].kind == "space" and index > 1 else tokens[index - 1]
        if before.text in (";", "\n"):
            found.append(index)
    return found


@mutation(_CLASSES, _POSIX)
def sh_null_command(payload: str, rng: Random) -> str:
    """The null command `:` with harmless words before a command; it expands its arguments and does nothing."""
    tokens = _lex(payload)
    for index in some(_starts_after_semicolon(tokens), rng)[:2]:
        tokens[index].text = f": {words(rng)};{tokens[index].text}"
    return _join(tokens)


@mutation(_CLASSES, _POSIX)
def sh_variable(payload: str, rng: Random) -> str:
    """A command's name put together from two variables that are set just before it."""
    tokens = _lex(payload)
    for index in some(_starts_after_semicolon(tokens), rng)[:1]:
        word = tokens[index].text
        spot = _inside(word, rng)
        if spot is not None:
            a, b = rng.sample("abcdefgh", 2)
            tokens[index].text = f"{a}={word[:spot]};{b}={word[spot:]};${a}${b}"
    return _join(tokens)


@mutation(_CLASSES, _POSIX)
def sh_substitution(payload: str, rng: Random) -> str:
    """Backquotes become `$( )`: the same command substitution."""
    if payload.count("`") == 2 and not re.search(r"`[^`]*[\\$()][^`]*`", payload):
        return re.sub(r"`([^`]*)`", r"$(\1)", payload)
    return payload


@mutation(("cmd_injection",), _POSIX, assumption="base64 is installed and the command reads no input")
def sh_base64(payload: str, rng: Random) -> str:
    """The last command of a list is decoded from base64 and piped into `sh`, which runs it."""
    match = re.fullmatch(r"(?P<before>.*[;\n]\s*)(?P<command>[\w./][\w./ ,:@+-]*)", payload, re.DOTALL)
    if match is None or match["command"].split()[0] in _RESERVED or re.search(r"['\"`(){}#]", match["before"]):
        return payload
    coded = base64.b64encode(match["command"].encode("latin-1")).decode()
    return f"{match['before']}echo {coded}|base64 -d|sh"


@mutation(("cmd_injection",), _CMD)
def cmd_caret(payload: str, rng: Random) -> str:
    """A caret inside a word (`d^ir`): outside quotes cmd.exe's escape character, which disappears."""
    return payload if '"' in payload else _rewrite_words(payload, rng, ("^",))


@mutation(("cmd_injection",), _CMD)
def cmd_case(payload: str, rng: Random) -> str:
    """Words in random case; cmd.exe folds the case of its commands, of programs and of paths."""
    tokens = _lex(payload)
    for token in some([t for t in _plain_words(tokens) if not t.text.startswith("-")], rng):
        token.text = random_case(token.text, rng)
    return _join(tokens)


@mutation(("cmd_injection",), ("php",))
def php_function_case(payload: str, rng: Random) -> str:
    """Names of PHP's functions and language constructs in random case; PHP folds them."""
    return re.sub(
        r"\b(?:print|echo|exec|system|passthru|shell_exec|proc_open|popen|eval|assert|phpinfo)(?=\s*\()",
        lambda match: random_case(match.group(), rng),
        payload,
        flags=re.IGNORECASE,
    )


@mutation(("cmd_injection",), ("php",))
def php_comment(payload: str, rng: Random) -> str:
    """A comment between a PHP function's name and its arguments; PHP reads it as white space."""
    return re.sub(
        r"\b(?:print|exec|system|passthru|shell_exec|proc_open|popen|eval)(?=\()",
        lambda match: f"{match.group()}/*{words(rng)}*/",
        payload,
        count=1,
    )


@mutation(("shellshock",), ("bash",))
def shellshock_body(payload: str, rng: Random) -> str:
    """Another harmless body for the function that an unpatched bash (CVE-2014-6271) imports before running on."""
    match = re.match(r"\(\)\s*\{[^}]*\}\s*;", payload)
    if match is None:
        return payload
    body = rng.choice((":;", "true;", ":; :;", f": {words(rng)};", "a=1;", "return 0;"))
    gap = rng.choice(("", " ", "\t", "  "))
    return f"() {{ {gap}{body}{gap} }}{gap};{payload[match.end() :]}"


MUTATIONS = (
    sh_ifs,
    sh_blanks,
    sh_empty_quotes,
    sh_quoted_letters,
    sh_backslash,
    sh_empty_expansion,
    sh_glob,
    sh_path,
    sh_newline,
    sh_null_command,
    sh_variable,
    sh_substitution,
    sh_base64,
    cmd_caret,
    cmd_case,
    php_function_case,
    php_comment,
    shellshock_body,
)
