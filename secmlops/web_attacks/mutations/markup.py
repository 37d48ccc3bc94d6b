"""Rewritings of cross-site scripting: HTML that parses to the same tree, JavaScript that calls the same function.

Sources: the WHATWG HTML standard (tokenization, character references), the WHATWG URL standard (what a URL
parser strips) and ECMA-262 (escapes in identifiers and strings, comments, computed property access).
"""

import re
from random import Random

from secmlops.web_attacks.mutations.mutation import mutation, random_case, some, words

_XSS = ("xss",)
_HTML = ("html",)
_JS = ("html", "javascript")

_TAG = re.compile(
    r"<(?P<slash>/?)(?P<name>[A-Za-z][A-Za-z0-9]*)(?=[\s/>])"
    r"(?P<attributes>(?:\"[^\"]*\"|'[^']*'|[^'\"<>])*)(?P<end>/?>)"
)
_ATTRIBUTE = re.compile(
    r"(?P<gap>[\s/]+)(?P<name>[A-Za-z][\w:-]*)(?P<equals>\s*=\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"'<>=`][^\s>]*)"
)
_CALL = re.compile(r"(?<![\w.$\\])(?P<name>alert|prompt|confirm|eval|fetch)(?=\s*\()")

_BEFORE_EXPRESSIONS = ("", *";:=>\"'(,{}-+&|!?")  # after anything else a parenthesis would call what stands before it


def _tags(payload: str) -> list[re.Match[str]]:
    return list(_TAG.finditer(payload))


def _rewrite_tags(payload: str, rng: Random, rewrite) -> str:
    chosen = {match.start() for match in some(_tags(payload), rng)}
    return _TAG.sub(lambda match: rewrite(match) if match.start() in chosen else match.group(), payload)


@mutation(_XSS, _HTML)
def html_name_case(payload: str, rng: Random) -> str:
    """Tag and attribute names in random case; HTML tokenizers lower-case both."""

    def rewrite(match: re.Match[str]) -> str:
        attributes = _ATTRIBUTE.sub(
            lambda one: one["gap"] + random_case(one["name"], rng) + one["equals"] + one["value"], match["attributes"]
        )
        return f"<{match['slash']}{random_case(match['name'], rng)}{attributes}{match['end']}"

    return _rewrite_tags(payload, rng, rewrite)


@mutation(_XSS, _HTML)
def html_attribute_gap(payload: str, rng: Random) -> str:
    """Other white space before an attribute, or a slash right after the tag's name: skipped by tokenizers."""

    def rewrite(match: re.Match[str]) -> str:
        def gap(one: re.Match[str]) -> str:
            first = one.start() == 0
            choices = ("\t", "\n", "\f", "\r\n", "  ", "/", " / ") if first else ("\t", "\n", "\f", "  ")
            return rng.choice(choices) + one.group()[len(one["gap"]) :]

        return f"<{match['slash']}{match['name']}{_ATTRIBUTE.sub(gap, match['attributes'])}{match['end']}"

    return _rewrite_tags(payload, rng, rewrite)


@mutation(_XSS, _HTML)
def html_junk_attribute(payload: str, rng: Random) -> str:
    """A harmless attribute more in a start tag."""

    def rewrite(match: re.Match[str]) -> str:
        if match["slash"]:
            return match.group()
        name = rng.choice(("title", "data-note", "class", "lang", "x"))
        if re.search(rf"\b{name}\s*=", match["attributes"], re.IGNORECASE):
            return match.group()
        return f'<{match["name"]} {name}="{words(rng, 3)}"{match["attributes"]}{match["end"]}'

    return _rewrite_tags(payload, rng, rewrite)


@mutation(_XSS, _HTML)
def html_end_tag_space(payload: str, rng: Random) -> str:
    """White space or junk inside an end tag, where tokenizers skip it."""
    return re.sub(r"(</[A-Za-z]+)(>)", lambda match: match[1] + rng.choice((" ", "\t", "\n", " x")) + match[2], payload)


@mutation(_XSS, _HTML)
def html_attribute_entities(payload: str, rng: Random) -> str:
    """Characters of attribute values as character references, which tokenizers decode."""

    def refer(char: str) -> str:
        code = ord(char)
        return rng.choice((f"&#{code};", f"&#x{code:x};", f"&#X{code:X};", f"&#{code:07d};"))

    def value(one: re.Match[str]) -> str:
        text = one["value"]
        quoted = text[0] in "\"'"
        inner = text[1:-1] if quoted else text
        if "&" in inner or not inner.isascii():
            return one.group()
        chosen = set(some(range(len(inner)), rng))
        inner = "".join(refer(char) if index in chosen else char for index, char in enumerate(inner))
        quote = text[0] if quoted else ""
        return f"{one['gap']}{one['name']}{one['equals']}{quote}{inner}{quote}"

    def rewrite(match: re.Match[str]) -> str:
        return f"<{match['slash']}{match['name']}{_ATTRIBUTE.sub(value, match['attributes'])}{match['end']}"

    return _rewrite_tags(payload, rng, rewrite)


@mutation(_XSS, _HTML)
def html_attribute_quotes(payload: str, rng: Random) -> str:
    """Another quoting of attribute values: double, single, or none where none is needed."""

    def value(one: re.Match[str]) -> str:
        text = one["value"]
        inner = text[1:-1] if text[0] in "\"'" else text
        quotes = [quote for quote in "\"'" if quote not in inner]
        if inner and re.fullmatch(r"[^\s\"'<>=`/]+", inner):
            quotes.append("")
        quote = rng.choice(quotes) if quotes else text[0]
        if not quotes:
            return one.group()
        return f"{one['gap']}{one['name']}={quote}{inner}{quote}"

    def rewrite(match: re.Match[str]) -> str:
        return f"<{match['slash']}{match['name']}{_ATTRIBUTE.sub(value, match['attributes'])}{match['end']}"

    return _rewrite_tags(payload, rng, rewrite)


@mutation(_XSS, _HTML)
def html_surrounding_text(payload: str, rng: Random) -> str:
    """Harmless text and paragraphs around markup that starts with a tag; the injected elements are the same."""
    if not re.match(r"<[A-Za-z]", payload) or not re.search(r">\s*\Z", payload):
        return payload
    before, after = words(rng), words(rng)
    return rng.choice((f"{before} {payload} {after}", f"<p>{before}</p>{payload}", f"{payload}<b>{after}</b>"))


@mutation(_XSS, _HTML)
def url_scheme_case(payload: str, rng: Random) -> str:
    """`javascript:` in random case: URL parsers lower-case the scheme."""
    return re.sub(r"javascript(?=:)", lambda match: random_case(match.group(), rng), payload, flags=re.IGNORECASE)


@mutation(_XSS, _HTML)
def url_scheme_breaks(payload: str, rng: Random) -> str:
    """Tabs or line ends inside `javascript:` in an attribute: URL parsers strip them everywhere."""

    def rewrite(match: re.Match[str]) -> str:
        spot = rng.randint(1, len(match.group()) - 1)
        return match.group()[:spot] + rng.choice(("\t", "\n", "\r")) + match.group()[spot:]

    return re.sub(r"(?<==[\"'])javascript(?=:)", rewrite, payload, flags=re.IGNORECASE)


@mutation(_XSS, _JS)
def js_identifier_escape(payload: str, rng: Random) -> str:
    r"""A letter of a called function's name as `\uXXXX` or `\u{X}`, the same identifier to JavaScript."""

    def escape(match: re.Match[str]) -> str:
        name = match["name"]
        spot = rng.randrange(len(name))
        code = ord(name[spot])
        return name[:spot] + rng.choice((f"\\u{code:04x}", f"\\u{{{code:x}}}", f"\\u{{00{code:X}}}")) + name[spot + 1 :]

    return _CALL.sub(escape, payload)


@mutation(_XSS, _JS)
def js_computed_access(payload: str, rng: Random) -> str:
    """A global function through its owner: `alert(1)` becomes `self['al'+'ert'](1)`, the same call."""
    quote = next((quote for quote in ("'", '"') if quote not in payload), "`" if "`" not in payload else "")
    if not quote:
        return payload

    def access(match: re.Match[str]) -> str:
        name = match["name"]
        if name == "eval":
            return name
        spot = rng.randint(1, len(name) - 1)
        owner = rng.choice(("self", "globalThis", "window"))
        return f"{owner}[{quote}{name[:spot]}{quote}+{quote}{name[spot:]}{quote}]"

    return _CALL.sub(access, payload)


@mutation(_XSS, _JS)
def js_call_form(payload: str, rng: Random) -> str:
    """`f(x)` as `(f)(x)`, `f?.(x)` or with a comment before the arguments: the same call (eval stays as it is)."""

    def form(match: re.Match[str]) -> str:
        if match["name"] == "eval":
            return match["name"]
        forms = [f"{match['name']}?.", f"{match['name']}/*{words(rng, 1)}*/"]
        if match.string[: match.start()].rstrip()[-1:] in _BEFORE_EXPRESSIONS:
            forms.append(f"({match['name']})")
        return rng.choice(forms)

    return _CALL.sub(form, payload, count=1)


@mutation(_XSS, _JS)
def js_string_escape(payload: str, rng: Random) -> str:
    r"""Letters of a string argument as `\xXX` or `\uXXXX`, the same string to JavaScript."""

    def escape(match: re.Match[str]) -> str:
        text = match["text"]
        chosen = set(some(range(len(text)), rng))
        coded = "".join(
            rng.choice((f"\\x{ord(c):02x}", f"\\u{ord(c):04x}")) if i in chosen else c for i, c in enumerate(text)
        )
        return f"({match['quote']}{coded}{match['quote']}"

    return re.sub(r"(?<=[a-z])\((?P<quote>['\"])(?P<text>[A-Za-z0-9]+)(?P=quote)(?=\))", escape, payload)


@mutation(_XSS, _JS)
def js_string_concatenation(payload: str, rng: Random) -> str:
    """A string argument joined from two with `+`, the same string to JavaScript."""

    def split(match: re.Match[str]) -> str:
        text, quote = match["text"], match["quote"]
        spot = rng.randint(1, len(text) - 1)
        return f"({quote}{text[:spot]}{quote}+{quote}{text[spot:]}{quote}"

    return re.sub(r"(?<=[a-z])\((?P<quote>['\"])(?P<text>[A-Za-z0-9]{2,})(?P=quote)(?=\))", split, payload)


MUTATIONS = (
    html_name_case,
    html_attribute_gap,
    html_junk_attribute,
    html_end_tag_space,
    html_attribute_entities,
    html_attribute_quotes,
    html_surrounding_text,
    url_scheme_case,
    url_scheme_breaks,
    js_identifier_escape,
    js_computed_access,
    js_call_form,
    js_string_escape,
    js_string_concatenation,
)
