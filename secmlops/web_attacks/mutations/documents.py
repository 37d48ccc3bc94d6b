"""Rewritings of server-side template injections (Jinja2 and kin) and of XML external entities."""

import re
from random import Random

from secmlops.web_attacks.mutations.mutation import mutation, some, words

_SSTI = ("ssti",)
_JINJA = ("jinja2",)
_TWIG = ("jinja2", "twig")
_EXPRESSION = re.compile(r"\{\{(?P<inner>.*?)\}\}", re.DOTALL)
_FIRST_ATTRIBUTE = re.compile(r"\A(?P<lead>\s*)(?P<base>[A-Za-z_]\w*|''|\"\"|\(\)|\[\])\.(?P<name>[A-Za-z_]\w*)")
_STRING = re.compile(r"'(?P<text>[A-Za-z_]\w*)'")


def _in_expressions(payload: str, rewrite) -> str:
    return _EXPRESSION.sub(lambda match: "{{" + rewrite(match["inner"]) + "}}", payload)


def _blank(rng: Random) -> str:
    return "".join(rng.choice(" \t\n") for _ in range(rng.randint(1, 3)))


@mutation(_SSTI, _TWIG)
def template_blanks(payload: str, rng: Random) -> str:
    """White space inside the double braces, which template engines skip."""
    return _in_expressions(
        payload,
        lambda inner: inner if inner[:1] in "-+" or inner[-1:] in "-+" else f"{_blank(rng)}{inner}{_blank(rng)}",
    )


@mutation(_SSTI, _TWIG)
def template_comment(payload: str, rng: Random) -> str:
    """A template comment before or after the expression: it renders to nothing."""
    if not _EXPRESSION.search(payload):
        return payload
    comment = f"{{# {words(rng)} #}}"
    return rng.choice((comment + payload, payload + comment))


@mutation(_SSTI, _TWIG)
def template_parentheses(payload: str, rng: Random) -> str:
    """Parentheses around the numbers of a product: grouping only."""
    return _in_expressions(
        payload, lambda inner: re.sub(r"(?<![\w'\"])\d+(?=\s*\*)|(?<=\*)\d+(?![\w'\"])", r"(\g<0>)", inner)
    )


@mutation(_SSTI, _JINJA)
def template_subscript(payload: str, rng: Random) -> str:
    """The first `x.name` becomes `x['name']`: where x has no such item, Jinja2 takes the attribute either way."""
    return _in_expressions(payload, lambda inner: _FIRST_ATTRIBUTE.sub(r"\g<lead>\g<base>['\g<name>']", inner))


@mutation(_SSTI, _JINJA)
def template_attr_filter(payload: str, rng: Random) -> str:
    """The first `x.name` becomes `(x|attr('name'))`: Jinja2's filter for the same attribute."""
    return _in_expressions(payload, lambda inner: _FIRST_ATTRIBUTE.sub(r"\g<lead>(\g<base>|attr('\g<name>'))", inner))


@mutation(_SSTI, _JINJA)
def template_string_escape(payload: str, rng: Random) -> str:
    r"""Letters of a string as `\xXX`, the same string to Jinja2."""

    def escape(match: re.Match[str]) -> str:
        text = match["text"]
        chosen = set(some(range(len(text)), rng))
        return "'" + "".join(f"\\x{ord(c):02x}" if i in chosen else c for i, c in enumerate(text)) + "'"

    return _in_expressions(payload, lambda inner: _STRING.sub(escape, inner))


@mutation(_SSTI, _JINJA)
def template_string_concatenation(payload: str, rng: Random) -> str:
    """A string argument or subscript joined from two with Jinja2's `~`."""

    def split(match: re.Match[str]) -> str:
        text = match["text"]
        spot = rng.randint(1, len(text) - 1)
        return f"'{text[:spot]}'~'{text[spot:]}'"

    return _in_expressions(payload, lambda inner: re.sub(r"(?<=[\[(])'(?P<text>[A-Za-z_]\w+)'(?=[\])])", split, inner))


_XXE = ("xxe",)
_XML = ("xml",)
_DECLARATION = re.compile(r"<!(?:ENTITY|DOCTYPE)\b[^<>\"'\[]*(?:(?:\"[^\"]*\"|'[^']*')[^<>\"'\[]*)*")
_EXTERNAL = re.compile(r"\bSYSTEM(?P<gap>\s+)(?P<literal>\"[^\"]*\"|'[^']*')")


@mutation(_XXE, _XML)
def xml_declaration_blanks(payload: str, rng: Random) -> str:
    """Other white space between the words of a DOCTYPE or ENTITY declaration (XML 1.0, production S)."""

    def loosen(match: re.Match[str]) -> str:
        pieces = re.split(r"(\"[^\"]*\"|'[^']*')", match.group())
        for index in range(0, len(pieces), 2):
            pieces[index] = re.sub(r"[ \t\r\n]+", lambda _: _blank(rng), pieces[index])
        return "".join(pieces)

    return _DECLARATION.sub(loosen, payload)


@mutation(_XXE, _XML)
def xml_literal_quotes(payload: str, rng: Random) -> str:
    """The other quotes around a system literal."""

    def swap(match: re.Match[str]) -> str:
        inner = match["literal"][1:-1]
        other = "'" if match["literal"][0] == '"' else '"'
        return match.group() if other in inner else f"SYSTEM{match['gap']}{other}{inner}{other}"

    return _EXTERNAL.sub(swap, payload)


@mutation(_XXE, _XML)
def xml_public_identifier(payload: str, rng: Random) -> str:
    """`SYSTEM "u"` becomes `PUBLIC "words" "u"`: the same system identifier, and no catalogue knows the words."""
    return _EXTERNAL.sub(lambda match: f'PUBLIC "{words(rng)}" {match["literal"]}', payload)


@mutation(_XXE, _XML)
def xml_comment(payload: str, rng: Random) -> str:
    """A comment in the internal subset or before it (XML 1.0, 2.5): parsers skip it."""
    spots = [match.end() for match in re.finditer(r"<!DOCTYPE[^<>\"'\[]*\[|\?>", payload)]
    if not spots:
        return payload
    spot = rng.choice(spots)
    return f"{payload[:spot]}<!-- {words(rng)} -->{payload[spot:]}"


@mutation(_XXE, _XML)
def xml_entity_name(payload: str, rng: Random) -> str:
    """Another name for the declared entity, in its declaration and wherever it is used."""
    match = re.search(r"<!ENTITY\s+(?:%\s+)?(?P<name>[A-Za-z_][\w.-]*)\s", payload)
    if match is None or payload.count("<!ENTITY") > 1:
        return payload
    name = match["name"]
    fresh = "".join(rng.choice("bcdfghklmnprst") for _ in range(rng.randint(3, 8)))
    renamed = payload[: match.start("name")] + fresh + payload[match.end("name") :]
    return re.sub(rf"(?<=[&%]){re.escape(name)}(?=;)", fresh, renamed)


@mutation(_XXE, _XML, carriers=("body",))
def xml_utf16(payload: str, rng: Random) -> str:
    """The whole document in UTF-16 with its byte order mark, which every XML processor must read (XML 1.0, 4.3.3)."""
    if not payload.startswith("<?xml") or not payload.isascii() or "\0" in payload:
        return payload
    declared = re.sub(r"(encoding\s*=\s*)(?:\"[^\"]*\"|'[^']*')", r'\1"UTF-16"', payload, count=1)
    order = rng.choice(("le", "be"))
    mark = b"\xff\xfe" if order == "le" else b"\xfe\xff"
    return (mark + declared.encode(f"utf-16-{order}")).decode("latin-1")


MUTATIONS = (
    template_blanks,
    template_comment,
    template_parentheses,
    template_subscript,
    template_attr_filter,
    template_string_escape,
    template_string_concatenation,
    xml_declaration_blanks,
    xml_literal_quotes,
    xml_public_identifier,
    xml_comment,
    xml_entity_name,
    xml_utf16,
)
