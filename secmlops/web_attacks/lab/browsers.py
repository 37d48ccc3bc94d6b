"""The headers that visitors' programs send: browsers, apps, crawlers of search engines, scripts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Purpose = Literal["page", "api", "asset", "beacon"]

_WEBKIT: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_ACCEPT_PAGE: Final = {
    "chromium": (
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
        "application/signed-exchange;v=b3;q=0.7"
    ),
    "firefox": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "safari": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
}
_LANGUAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("en-GB,en;q=0.9", "en-US,en;q=0.9", "en-US,en;q=0.5", "en-GB,en-US;q=0.9,en;q=0.8", "en;q=0.8,cy;q=0.4"),
    "de": (
        "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
        "de,en-US;q=0.7,en;q=0.3",
        "de-AT,de;q=0.9",
        "tr-TR,tr;q=0.9,de;q=0.8",
    ),
    "es": ("es-ES,es;q=0.9", "es-MX,es;q=0.9,en;q=0.8", "es,en-US;q=0.7,en;q=0.3", "ca,es;q=0.8"),
    "fr": ("fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7", "fr,fr-FR;q=0.8,en;q=0.5", "fr-CA,fr;q=0.9", "fr-BE,nl;q=0.6"),
}


@dataclass(frozen=True, slots=True)
class Browser:
    """One visitor's program.

    Attributes:
        family: `chromium`, `firefox`, `safari`, `app`, `bot` or `script`.
        user_agent: its User-Agent header.
        hints: client-hint headers (Chromium only).
        accept_language: its Accept-Language header; empty when it sends none.
        version: HTTP version on its request lines.
        extra: further headers that it, or a proxy before it, always adds.
        runs_scripts: whether it loads files, calls APIs and keeps cookies like a browser.
    """

    family: str
    user_agent: str
    hints: tuple[tuple[str, str], ...] = ()
    accept_language: str = ""
    version: str = "1.1"
    extra: tuple[tuple[str, str], ...] = ()
    runs_scripts: bool = True

    def headers(self, purpose: Purpose, method: str, origin: str, referer: str) -> list[tuple[str, str]]:
        """Headers of one request in the family's order, without Host, cookies and those of the body."""
        if self.family in ("app", "bot", "script"):
            return self._plain(purpose)
        return self._browser(purpose, method, origin, referer)

    def _plain(self, purpose: Purpose) -> list[tuple[str, str]]:
        accept = "application/json" if self.family == "app" and purpose != "page" else "*/*"
        made = [("User-Agent", self.user_agent), ("Accept", accept)]
        if self.family != "script" or "curl" not in self.user_agent:
            made.append(("Accept-Encoding", "gzip, deflate"))
        if self.accept_language:
            made.append(("Accept-Language", self.accept_language))
        return [*made, *self.extra]

    def _browser(self, purpose: Purpose, method: str, origin: str, referer: str) -> list[tuple[str, str]]:
        made: list[tuple[str, str]] = [("Connection", "keep-alive")]
        made += self.hints if purpose != "asset" else self.hints[:2]
        if purpose == "page" and self.family != "safari":
            made.append(("Upgrade-Insecure-Requests", "1"))
        made.append(("User-Agent", self.user_agent))
        made.append(("Accept", self._accept(purpose)))
        if purpose == "api" and self.family != "safari":
            made.append(("X-Requested-With", "XMLHttpRequest"))
        if method not in ("GET", "HEAD"):
            made.append(("Origin", origin))
        if self.family == "chromium":
            made += _fetch_metadata(purpose, same_origin=referer.startswith(origin))
        if referer:
            made.append(("Referer", referer))
        made.append(("Accept-Encoding", "gzip, deflate"))
        made.append(("Accept-Language", self.accept_language))
        return [*made, *self.extra]

    def _accept(self, purpose: Purpose) -> str:
        if purpose == "page":
            return _ACCEPT_PAGE[self.family]
        if purpose == "api":
            return "application/json, text/plain, */*"
        return "image/avif,image/webp,image/*,*/*;q=0.8" if purpose == "asset" and self.family == "chromium" else "*/*"


def _fetch_metadata(purpose: Purpose, *, same_origin: bool) -> list[tuple[str, str]]:
    site = "same-origin" if same_origin else "none" if purpose == "page" else "cross-site"
    if purpose == "page":
        return [
            ("Sec-Fetch-Site", site),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-User", "?1"),
            ("Sec-Fetch-Dest", "document"),
        ]
    dest = "image" if purpose == "asset" else "empty"
    return [
        ("Sec-Fetch-Site", site),
        ("Sec-Fetch-Mode", "no-cors" if purpose == "asset" else "cors"),
        ("Sec-Fetch-Dest", dest),
    ]


def _chrome(rng: Random) -> Browser:
    version = rng.randint(118, 146)
    system, platform, mobile = rng.choice(
        [
            ("Windows NT 10.0; Win64; x64", '"Windows"', False),
            ("X11; Linux x86_64", '"Linux"', False),
            ("Macintosh; Intel Mac OS X 10_15_7", '"macOS"', False),
            ("Linux; Android 10; K", '"Android"', True),
        ]
    )
    brand, suffix = rng.choice(
        [
            ("Google Chrome", ""),
            ("Google Chrome", ""),
            ("Microsoft Edge", f" Edg/{version}.0.0.0"),
            ("Opera", f" OPR/{version - 16}.0.0.0"),
        ]
    )
    grease = rng.choice(
        ['"Not_A Brand";v="8"', '"Not A(Brand";v="24"', '"Not;A=Brand";v="99"', '" Not A;Brand";v="99"']
    )
    hints = (
        ("sec-ch-ua", f'"Chromium";v="{version}", {grease}, "{brand}";v="{version}"'),
        ("sec-ch-ua-mobile", "?1" if mobile else "?0"),
        ("sec-ch-ua-platform", platform),
    )
    engine = f"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0{' Mobile' if mobile else ''}"
    return Browser("chromium", f"Mozilla/5.0 ({system}) {engine} Safari/537.36{suffix}", hints)


def _firefox(rng: Random) -> Browser:
    version = rng.randint(115, 148)
    system = rng.choice(
        [
            "Windows NT 10.0; Win64; x64",
            "X11; Ubuntu; Linux x86_64",
            "Macintosh; Intel Mac OS X 10.15",
            "Android 14; Mobile",
        ]
    )
    extra = rng.choice([(), (), (("DNT", "1"),), (("Sec-GPC", "1"), ("Priority", "u=0, i"))])
    return Browser("firefox", f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0", extra=extra)


def _safari(rng: Random) -> Browser:
    version = f"{rng.randint(15, 18)}.{rng.randint(0, 6)}"
    if rng.random() < 0.6:
        system = f"iPhone; CPU iPhone OS {version.replace('.', '_')} like Mac OS X"
        return Browser("safari", f"Mozilla/5.0 ({system}) {_WEBKIT} Version/{version} Mobile/15E148 Safari/604.1")
    system = "Macintosh; Intel Mac OS X 10_15_7"
    return Browser("safari", f"Mozilla/5.0 ({system}) {_WEBKIT} Version/{version} Safari/605.1.15")


def _app(rng: Random) -> Browser:
    agent = rng.choice(
        [
            f"okhttp/4.{rng.randint(9, 12)}.{rng.randint(0, 3)}",
            f"ShopApp/{rng.randint(2, 7)}.{rng.randint(0, 30)} (iPhone; iOS 17.{rng.randint(0, 6)}; Scale/3.00)",
            f"Dalvik/2.1.0 (Linux; U; Android 13; SM-A{rng.randint(100, 990)}B Build/TP1A.{rng.randrange(10**6)}.014)",
        ]
    )
    return Browser("app", agent)


def _bot(rng: Random) -> Browser:
    agent = rng.choice(
        [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            f"Mozilla/5.0 (compatible; SiteUptime/{rng.randint(1, 4)}.{rng.randint(0, 9)}; health check)",
            f"LinkPreview/{rng.randint(1, 3)}.0 (+https://preview.example/bot)",
        ]
    )
    return Browser("bot", agent, version=rng.choice(["1.1", "1.1", "1.0"]), runs_scripts=False)


def _script(rng: Random) -> Browser:
    agent = rng.choice(
        [
            f"curl/8.{rng.randint(1, 11)}.{rng.randint(0, 1)}",
            f"python-requests/2.{rng.randint(26, 32)}.{rng.randint(0, 3)}",
            f"Go-http-client/1.{rng.randint(0, 1)}",
            "Wget/1.21.3",
        ]
    )
    return Browser("script", agent, version=rng.choice(["1.1", "1.1", "1.1", "1.0"]), runs_scripts=False)


_MAKERS: Final[tuple[Callable[[Random], Browser], ...]] = (_chrome, _firefox, _safari, _app, _bot, _script)
_VISITORS: Final = (58, 14, 14, 7, 4, 3)
_ATTACKERS: Final = (48, 20, 8, 2, 4, 18)


def _proxy_headers(rng: Random) -> tuple[tuple[str, str], ...]:
    address = f"{rng.randint(11, 220)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randint(1, 254)}"
    return rng.choice(
        [
            (("X-Forwarded-For", address),),
            (
                ("Via", "1.1 proxy-3 (squid/5.7)"),
                ("X-Forwarded-For", f"{address}, 10.0.{rng.randrange(9)}.{rng.randint(1, 254)}"),
            ),
            (("Forwarded", f"for={address};proto=http"),),
            (("X-Real-IP", address), ("X-Forwarded-Proto", "https"), ("X-Request-Id", f"{rng.getrandbits(64):016x}")),
            (("Cache-Control", "max-age=0"),),
            (("Pragma", "no-cache"), ("Cache-Control", "no-cache")),
        ]
    )


def browser(rng: Random, language: str, *, attacker: bool = False) -> Browser:
    """A visitor's program; attackers use the same browsers, and scripts more often."""
    made = rng.choices(_MAKERS, _ATTACKERS if attacker else _VISITORS)[0](rng)
    extra = made.extra + (_proxy_headers(rng) if rng.random() < 0.18 else ())
    wants_language = made.family not in ("bot", "script") and not (made.family == "app" and rng.random() < 0.5)
    return Browser(
        made.family,
        made.user_agent,
        made.hints,
        rng.choice(_LANGUAGES[language]) if wants_language else "",
        made.version,
        extra,
        made.runs_scripts,
    )
