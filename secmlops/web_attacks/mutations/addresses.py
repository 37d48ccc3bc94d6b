"""Rewritings of the URLs in server-side request forgeries: other spellings of the same address."""

import ipaddress
import re
from collections.abc import Callable
from random import Random

from secmlops.web_attacks.mutations.mutation import mutation, random_case, words

_SSRF = ("ssrf",)
_URL = re.compile(r"(?P<scheme>https?|ftp)://(?P<user>[^/?#@\s]*@)?(?P<host>[\w.-]+)(?P<rest>[:/?#]|\Z)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}


def _at_host(payload: str, rewrite: Callable[[str], str]) -> str:
    match = _URL.search(payload)
    if match is None:
        return payload
    return payload[: match.start("host")] + rewrite(match["host"]) + payload[match.end("host") :]


def _ipv4(host: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


@mutation(_SSRF, ("inet_aton",))
def ssrf_ipv4_form(payload: str, rng: Random) -> str:
    """A dotted IPv4 address as one number, in base 8, 10 or 16, or with fewer dots: the same to inet_aton."""

    def rewrite(host: str) -> str:
        address = _ipv4(host)
        if address is None:
            return host
        number, octets = int(address), list(address.packed)
        forms = (
            str(number),
            hex(number),
            ".".join(hex(octet) for octet in octets),
            ".".join(f"0{octet:o}" for octet in octets),
            f"{octets[0]}.{number & 0xFFFFFF}",
            f"{octets[0]}.{octets[1]}.{number & 0xFFFF}",
            f"0{number:o}",
        )
        return rng.choice(forms)

    return _at_host(payload, rewrite)


@mutation(_SSRF, ("url",))
def ssrf_ipv6_mapped(payload: str, rng: Random) -> str:
    """A dotted IPv4 address as an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2): the same host on a dual stack."""

    def rewrite(host: str) -> str:
        address = _ipv4(host)
        if address is None:
            return host
        high, low = int(address) >> 16, int(address) & 0xFFFF
        return rng.choice((f"[::ffff:{host}]", f"[::ffff:{high:x}:{low:x}]", f"[0:0:0:0:0:FFFF:{host}]"))

    return _at_host(payload, rewrite)


@mutation(_SSRF, ("url", "inet_aton"))
def ssrf_case(payload: str, rng: Random) -> str:
    """Scheme and host name in random case (RFC 3986, 6.2.2.1: both are case-insensitive)."""
    match = _URL.search(payload)
    if match is None:
        return payload

    host = match["host"] if _ipv4(match["host"]) else random_case(match["host"], rng)
    scheme = random_case(match["scheme"], rng)
    return f"{payload[: match.start()]}{scheme}://{match['user'] or ''}{host}{payload[match.end('host') :]}"


@mutation(_SSRF, ("url", "inet_aton"))
def ssrf_user_information(payload: str, rng: Random) -> str:
    """User information before the host, which names no other host (RFC 3986, 3.2.1)."""
    match = _URL.search(payload)
    if match is None or match["user"]:
        return payload
    return f"{payload[: match.start('host')]}{words(rng, 1)}@{payload[match.start('host') :]}"


@mutation(_SSRF, ("url", "inet_aton"))
def ssrf_default_port(payload: str, rng: Random) -> str:
    """The scheme's default port written out (RFC 3986, 6.2.3)."""
    match = _URL.search(payload)
    if match is None or match["rest"] == ":":
        return payload
    port = _DEFAULT_PORTS[match["scheme"].lower()]
    return f"{payload[: match.end('host')]}:{'0' * rng.randint(0, 3)}{port}{payload[match.end('host') :]}"


@mutation(_SSRF, ("url", "inet_aton"))
def ssrf_fragment(payload: str, rng: Random) -> str:
    """A fragment at the end, which clients keep to themselves (RFC 3986, 3.5)."""
    match = _URL.match(payload)
    if match is None or "#" in payload or re.search(r"\s", payload):
        return payload
    return f"{payload}#{words(rng, 3).replace(' ', '-')}"


MUTATIONS = (
    ssrf_ipv4_form,
    ssrf_ipv6_mapped,
    ssrf_case,
    ssrf_user_information,
    ssrf_default_port,
    ssrf_fragment,
)
