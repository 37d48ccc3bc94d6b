"""Rewritings of path traversals and of the paths that scanners probe."""

import re
from random import Random

from secmlops.web_attacks.mutations.mutation import mutation, random_case, some

_TRAVERSAL = ("path_traversal",)
_PATHS = ("path_traversal", "scanner")
_ALL = ("posix", "windows")

_SLASH_BETWEEN_NAMES = re.compile(r"(?<=[^/\\:])/(?=[^/\\])")


def _at_slashes(payload: str, rng: Random, replacements: tuple[str, ...]) -> str:
    """Replace some single slashes between path segments; a scheme's `://` and a leading slash stay."""
    path, mark, rest = payload.partition("?")
    chosen = {match.start() for match in some(list(_SLASH_BETWEEN_NAMES.finditer(path)), rng)}
    pieces = [rng.choice(replacements) if index in chosen else char for index, char in enumerate(path)]
    return "".join(pieces) + mark + rest


@mutation(_PATHS, _ALL)
def path_self_reference(payload: str, rng: Random) -> str:
    """`/./` for `/`: a segment `.` names the folder it stands in (POSIX pathname resolution; RFC 3986, 5.2.4)."""
    return _at_slashes(payload, rng, ("/./", "/././"))


@mutation(_PATHS, _ALL)
def path_double_slash(payload: str, rng: Random) -> str:
    """Two or three slashes for one inside a path: file systems read them as one."""
    return _at_slashes(payload, rng, ("//", "///"))


@mutation(_TRAVERSAL, _ALL)
def path_detour(payload: str, rng: Random) -> str:
    """`name/../name/` for `name/`: into a folder that exists, out again, and in again."""
    names = list(re.finditer(r"(?<![\w.%:-])[A-Za-z][\w-]*/(?=[\w.])", payload))
    if not names or "://" in payload:
        return payload
    match = rng.choice(names)
    return f"{payload[: match.start()]}{match.group()}../{match.group()}{payload[match.end() :]}"


@mutation(_TRAVERSAL, _ALL, assumption="the original already climbs to the root")
def path_more_parents(payload: str, rng: Random) -> str:
    """More `../` at the front of at least three: the parent of the root is the root."""
    match = re.search(r"(?:\.\./){3,}", payload)
    if match is None:
        return payload
    return f"{payload[: match.start()]}{'../' * rng.randint(1, 4)}{payload[match.start() :]}"


@mutation(_TRAVERSAL, ("windows",))
def path_backslash(payload: str, rng: Random) -> str:
    """Backslashes for slashes, path separators both to Windows."""
    slashes = [match.start() for match in re.finditer(r"(?<=\.\.)/|(?<=\w)/(?=\w)", payload)]
    chosen = set(some(slashes, rng))
    return "".join("\\" if index in chosen else char for index, char in enumerate(payload))


@mutation(_TRAVERSAL, ("windows",))
def path_case(payload: str, rng: Random) -> str:
    """Names in random case; Windows file systems fold it."""
    return re.sub(r"[A-Za-z]+", lambda match: random_case(match.group(), rng), payload)


@mutation(
    _TRAVERSAL,
    _ALL,
    assumption="a servlet container behind a proxy takes `;` as the start of a path parameter",
)
def path_semicolon(payload: str, rng: Random) -> str:
    """`..;/` for `../`: Tomcat and its kin drop `;` and what follows it in a segment before they resolve `..`."""
    parents = [match.start() for match in re.finditer(r"\.\./", payload)]
    chosen = {start + 2 for start in some(parents, rng)}
    return "".join(";" + char if index in chosen else char for index, char in enumerate(payload))


MUTATIONS = (
    path_self_reference,
    path_double_slash,
    path_detour,
    path_more_parents,
    path_backslash,
    path_case,
    path_semicolon,
)
