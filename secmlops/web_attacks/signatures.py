r"""A first-level signature set: what a careful analyst would call an attack at first sight.

It is small on purpose. It proposes labels that people then review (`labels`), and it is a peer to measure models
against; it does not protect anything. Each rule reads the decoded value of one part of the request and its
canonical form. Rules were written from public descriptions of the attacks (OWASP, MITRE CAPEC) and CVE texts
(CVE-2014-6271 Shellshock, CVE-2021-44228 Log4Shell).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from secmlops.web_attacks.decoding import Location, Part, canonical, decode, parts
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK, NORMAL, Label

_ANYWHERE: Final[frozenset[Location]] = frozenset({"path", "query", "body", "header", "cookie"})
_VALUES: Final[frozenset[Location]] = frozenset({"query", "body", "cookie"})
_SENT_BY_PAGES: Final = frozenset({"referer", "origin"})
_ROUTINE_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "cache-control", "content-type", "sec-ch-ua", "if-none-match"}
)
_MAX_CHARS: Final = 16_384
"""Longest stretch of one part that is looked at; an attack farther in is left to the models."""

PLAIN: Final = "plain"
"""The rule named for requests that hold nothing but words, numbers and simple punctuation."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One signature.

    Attributes:
        attack_class: one of `taxonomy.ATTACK_CLASSES`.
        name: what it looks for.
        pattern: searched in the decoded text.
        locations: the parts it is searched in.
        headers: only these headers, in lower case; empty: all.
    """

    attack_class: str
    name: str
    pattern: re.Pattern[str]
    locations: frozenset[Location] = _ANYWHERE
    headers: frozenset[str] = field(default=frozenset())

    @property
    def label(self) -> str:
        """`sqli.union_select`."""
        return f"{self.attack_class}.{self.name}"


def _rule(
    attack_class: str,
    name: str,
    *alternatives: str,
    locations: frozenset[Location] = _ANYWHERE,
    headers: frozenset[str] = frozenset(),
) -> Rule:
    pattern = re.compile("|".join(alternatives), re.IGNORECASE | re.DOTALL)
    return Rule(attack_class, name, pattern, locations, headers)


_SQL_VERBS = r"(?:select|insert|update|delete|drop|create|alter|exec|execute|declare|shutdown|waitfor|merge|grant)"
_COMPARED = r"(?:=|<>|!=|<=?|>=?|\blike\b|\brlike\b|\bin\b|\bis\b|\bbetween\b)"
_EVENT = (
    r"on(?:error|load|click|dblclick|mouse\w{2,6}|key\w{2,5}|focus\w{0,3}|blur|change|submit|toggle|start|begin|end|"
    r"scroll\w{0,3}|wheel|drag\w{0,5}|drop|copy|cut|paste|resize|select\w{0,5}|pointer\w{2,12}|animation\w{3,9}|"
    r"transition\w{3,6}|hashchange|pageshow|message|input|invalid|reset|play\w{0,5}|canplay|loadstart|finish|bounce)"
)
_COMMANDS = (
    r"(?:cat|ls|id|whoami|uname|pwd|ping|nslookup|dig|wget|curl|nc|ncat|netcat|netstat|ifconfig|ipconfig|bash|sh|zsh|"
    r"python3?|perl|ruby|php|powershell|cmd|echo|printf|sleep|touch|rm|cp|mv|chmod|chown|kill|ps|env|printenv|find|"
    r"grep|head|tail|more|less|tac|nl|awk|sed|sort|base64|xxd|tftp|ftp|telnet|net|dir|type|systeminfo|tasklist|"
    r"certutil|timeout|hostname|arp|route|reboot|shutdown|expr|eval|exec|vol|ver)"
)
_OPERATORS = r"(?:ne|eq|gte?|lte?|n?in|regex|where|exists|or|and|not|nor|elemMatch|expr|size|type|function)"
_LOCAL = (
    r"(?:localhost|127\.\d|0\.0\.0\.0|0[:/]|169\.254\.|10\.\d+\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|"
    r"\[(?:::|fe80|fd|0:)|0x[0-9a-f]{2,8}\b|0[0-7]{2,}\.|\d{8,10}\b|metadata\.|[^/]*\.internal\b|[^/]*\.nip\.io|"
    r"instance-data|[^/@]*@(?:localhost|127\.|169\.254))"
)

RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "log4shell",
        "lookup",
        r"\$\{\s*(?:jndi\s*:|[^}]{0,80}\$\{[^}]{0,40}:|(?:lower|upper|env|sys|ctx|date|main|java)\s*:)",
    ),
    _rule(
        "shellshock",
        "function",
        r"\(\s*\)\s*\{[^}]{0,40}(?:;|\})[^}]{0,10}\}?\s*;",
    ),
    _rule(
        "xxe",
        "entity",
        (
            r"<!\s*(?:entity|doctype\s[^>]{0,200}(?:\[|\bsystem\b|\bpublic\s+[\"'][^\"']*[\"']\s+[\"'](?:file|"
            r"ftp)))"
        ),
    ),
    _rule(
        "xxe",
        "include",
        r"<\w{0,20}:?include\b[^>]{0,200}(?:parse|href)\s*=",
    ),
    _rule(
        "nosqli",
        "operator",
        rf"(?:\[\s*|[{{,\"'\s(]|^)\${_OPERATORS}\b[\"']?\s*(?:\]|[:=])",
        locations=_VALUES,
    ),
    _rule(
        "nosqli",
        "script",
        r"['\"]\s*(?:;|\|\||&&)\s*(?:return\b|this\.\w+\s*[=!]=|(?:sleep|while)\s*\([^)]*\)\s*[;{])",
        r"\bthis\.\w+\.match\s*\(",
        locations=_VALUES,
    ),
    _rule(
        "ssti",
        "expression",
        (
            r"(?:\{\{|\$\{|#\{|<%=?|\{%|@\(|\*\{|~\{)[^}%]{0,120}(?:\d\s*\*\s*'?\d|__\w+__|\bconfig\b|\brequest\.|"
            r"\bself\b|\blipsum\b|\bcycler\b|\bT\s*\(|getClass|forName|Runtime|freemarker|constructor|"
            r"\bsystem\s*\(|\|\s*attr\b|popen)"
        ),
    ),
    _rule(
        "ssti",
        "introspection",
        r"__(?:class|mro|bases?|subclasses|globals|builtins|import|init)__",
        r"<#assign\b",
        r"\{php\}",
        r"#set\s*\(\s*\$",
    ),
    _rule(
        "cmd_injection",
        "php_code",
        r"<\?(?:php|=)",
        r"\b(?:system|passthru|shell_exec|popen|proc_open|pcntl_exec|assert|eval)\s*\(\s*[\"'$\w@]",
    ),
    _rule(
        "sqli",
        "union_select",
        r"\bunion\b[\s(+]+(?:all|distinct)?[\s(+]*select\b",
    ),
    _rule(
        "sqli",
        "stacked",
        rf";\s*{_SQL_VERBS}\b\s*[\w@'\"(*]",
    ),
    _rule(
        "sqli",
        "delay",
        (
            r"\b(?:sleep|pg_sleep|benchmark|randomblob|dbms_lock\.sleep|"
            r"dbms_pipe\.receive_message)\s*\(\s*[\d'(a-z]"
        ),
        r"\bwaitfor\s+(?:delay|time)\b",
    ),
    _rule(
        "sqli",
        "schema",
        r"\binformation_schema\b",
        r"\bsys(?:objects|columns|databases|users|ibm)\b",
        r"\bsqlite_master\b",
        r"\bpg_(?:catalog|tables|user|shadow)\b",
        r"\ball_(?:users|tables)\b",
        r"\bmysql\.user\b",
        r"\bmsysaccess",
    ),
    _rule(
        "sqli",
        "function",
        (
            r"\b(?:extractvalue|updatexml|load_file|group_concat|xp_cmdshell|xp_dirtree|utl_inaddr\.\w+|"
            r"utl_http\.\w+|ctxsys\.\w+|xmltype|make_set|elt|regexp_substring|char_length|name_const|json_keys|"
            r"generate_series|row_count)\s*\("
        ),
        r"\bxp_cmdshell\b",
        r"\binto\s+(?:out|dump)file\b",
        r"\bprocedure\s+analyse\b",
    ),
    _rule(
        "sqli",
        "subselect",
        r"\(\s*select\b.{0,200}?(?:\bfrom\b|\bcase\b|\(|\))",
        r"\bcase\s+when\b.{1,200}?\bthen\b.{1,200}?\b(?:else|end)\b",
        r"\bselect\b.{1,120}?\bfrom\b.{1,80}?(?:\bwhere\b|--|#|\bdual\b|\blimit\b)",
        r"\bdelete\s+from\s+\w",
        r"\bdrop\s+(?:table|database)\b",
        r"\binsert\s+into\s+\w+.{0,80}?\bvalues\b",
        r"\bupdate\s+\w+\s+set\s+\w+\s*=",
    ),
    _rule(
        "sqli",
        "condition",
        (
            r"(?:['\"`)%]|^\s*-?\d+|\w['\")])\s*\){0,9}\s*(?:\bor\b|\band\b|\bxor\b|\|\||&&|\bhaving\b|\bwhere\b|"
            rf"\brlike\b)\s*(?:\bnot\b\s*)?[('\"\s!~-]{{0,20}}[\w.@]+(?:\s*\(.{{0,60}}?\))?['\")\s]{{0,20}}"
            rf"{_COMPARED}\s*[('\"]{{0,9}}\s*[\w'\"(@-]"
        ),
    ),
    _rule(
        "sqli",
        "truth",
        (
            r"['\")]\s*(?:\bor\b|\|\|)\s*['\"(]*\s*(?:true|1|not\s+false|\d+\s*(?:--|#|/\*))\s*(?:--|#|/\*|['\")]|"
            r"$)"
        ),
    ),
    _rule(
        "sqli",
        "clause",
        r"(?:['\")]|^\s*-?\d+)\s*\){0,9}\s*(?:order|group)\s+by\s+[\d(]",
        r"['\")]\s*\){0,9}\s*(?:procedure|limit\s+\d|having\s+\d)",
    ),
    _rule(
        "sqli",
        "comment",
        r"['\"]\s*\){0,9}\s*;?\s*(?:--[\s+-]*|#|/\*[^*]{0,20}(?:\*/)?)\s*$",
        r"\w'\s*(?:--|#)",
    ),
    _rule(
        "xss",
        "script",
        r"<\s*/?\s*script\b",
        r"<\s*script",
    ),
    _rule(
        "xss",
        "event",
        rf"<[a-z!/][^<]{{0,200}}?[\s/\"'\x0b\x0c]{_EVENT}\s*=",
        rf"[\"'`]\s*(?:/\s*)?{_EVENT}\s*=",
        rf"^\s*{_EVENT}\s*=\s*\w+",
    ),
    _rule(
        "xss",
        "scheme",
        r"(?:^|[\s\"'=(:<>])(?:j\s*a\s*v\s*a|v\s*b|live)\s*s\s*c\s*r\s*i\s*p\s*t\s*:\s*\S",
        r"\bdata:\s*text/html",
        r"\bsrcdoc\s*=",
        r"style\s*=[^>]{0,80}(?:expression\s*\(|javascript:)",
    ),
    _rule(
        "xss",
        "tag",
        (
            r"<\s*(?:iframe|frame|frameset|object|embed|applet|meta|base|isindex|layer|xml|bgsound|svg|math|"
            r"animate|foreignobject|marquee|details|video|audio|source|body|style|link|img|image|input|form|"
            r"button|div|a)\b[^>]{0,300}?(?:javascript|alert|prompt|confirm|eval|document\.|expression\(|"
            r"http-equiv|xlink:href|behavior|&#)"
        ),
    ),
    _rule(
        "xss",
        "call",
        (
            r"(?:[;\"'`>)(=/\]]|^)\s*(?:alert|confirm|prompt|eval|settimeout|setinterval|fetch|import)\s*(?:\(|"
            r"`)\s*[\w\"'`/.(\\]"
        ),
        r"\bdocument\s*(?:\.\s*(?:cookie|domain|location|write\w*|body|getelement\w+)|\[)",
        r"\bstring\.fromcharcode\b",
        r"\bwindow\s*(?:\[|\.\s*(?:location|open|name|onerror))",
        r"\[\s*['\"]?constructor\b",
    ),
    _rule(
        "path_traversal",
        "climb",
        r"(?:\.\.+[/\\]+){2,}",
        r"(?:^|[/\\=:])\.\.;?[/\\]\w*\.?\w",
        r"\.\.[/\\].{0,80}?(?:\betc[/\\]|\.ini\b|web-inf|\bproc[/\\])",
        r"(?:\.{2,}[/\\]{1,}){2,}",
    ),
    _rule(
        "path_traversal",
        "system_file",
        (
            r"(?:^|[/\\=:\s])etc[/\\]+(?:\./)*(?:passwd|shadow|hosts|group|issue|fstab|crontab|ssh|apache2?|nginx|"
            r"httpd|mysql|php|security|resolv\.conf|hostname|motd|profile|sudoers|init\.d|environment|my\.cnf)\b"
        ),
        r"\b(?:boot|win|system|php|my)\.ini\b",
        r"[/\\]proc[/\\]+(?:self|version|cpuinfo|mounts|net|sched|\d+)",
        r"\bweb-inf\b",
        r"\bmeta-inf\b",
        r"c:[/\\]+(?:windows|winnt|boot|inetpub|program)",
        r"[/\\]windows[/\\]+(?:system32|win)",
        (
            r"[/\\](?:var[/\\]+(?:log|www|run|lib)|root|home[/\\]+\w+)[/\\]+[\w./\\-]{0,120}(?:\.log|\.ssh|access|error|"
            r"passwd|history|\.conf)"
        ),
        r"\.(?:ssh|aws)[/\\]+\w+",
        r"bash_history",
        locations=_VALUES | {"path"},
    ),
    _rule(
        "path_traversal",
        "wrapper",
        (
            r"(?:^|[=\s\"'])(?:php|phar|zip|expect|glob|compress\.zlib|data|file|netdoc|jar)\s*:\s*(?://+|"
            r"text/plain)"
        ),
        locations=_VALUES,
    ),
    _rule(
        "ssrf",
        "scheme",
        r"^\s*(?:gopher|dict|ldaps?|tftp|sftp)://",
        locations=_VALUES,
    ),
    _rule(
        "ssrf",
        "inner_address",
        rf"^\s*(?:https?:)?//{_LOCAL}",
        locations=_VALUES,
    ),
    _rule(
        "cmd_injection",
        "chained",
        (
            rf"(?:[;|&\n\r`]|\$\(|\|\||&&|%0a)\s*(?:[\"'(]\s*)?(?:/?(?:usr/)?s?bin/)?{_COMMANDS}(?=[\s;|"
            r"&`)\"'$<>/+-]|$)(?!\s*=)"
        ),
        locations=_ANYWHERE - {"header"},
    ),
    _rule(
        "cmd_injection",
        "chained_in_header",
        rf"(?:\|\||&&|`|\$\(|;)\s*(?:/?(?:usr/)?s?bin/)?{_COMMANDS}(?:\s+[-/\w.]|\s*[`);]|\$)",
        locations=frozenset({"header"}),
    ),
    _rule(
        "cmd_injection",
        "substitution",
        r"\$\(\s*(?:\(|[a-z/]{2,}[\s)])",
        r"`\s*[a-z/]{2,12}(?:\s[^`]{0,120})?`",
        r"\$IFS",
        r"\$\{IFS",
        r"[<>]\(\s*\w+",
    ),
    _rule(
        "cmd_injection",
        "binary",
        (
            r"/(?:usr/)?s?bin/(?:[a-z]{1,2}sh|cat|id|ls|nc|uname|wget|curl|perl|python\d?|env|ping|sleep|echo|"
            r"whoami)\b"
        ),
        r"\bcmd(?:\.exe)?\s*/[ck]\b",
        r"\bpowershell(?:\.exe)?\s+-",
        r"[/\\]system32[/\\]",
        r"\b(?:wget|curl)\s+(?:-\S+\s+){0,9}https?://",
        r"\|\s*(?:ba)?sh\b",
        r"/dev/(?:tcp|udp)/",
    ),
    _rule(
        "cmd_injection",
        "java",
        r"getruntime\s*\(\s*\)",
        r"processbuilder\b",
        r"#_memberaccess",
        r"\bognl\b",
        r"\bjava\.lang\.(?:runtime|process)",
        r"require\s*\(\s*['\"]child_process",
        r"\bos\.(?:system|popen)\s*\(",
        r"\bsubprocess\.\w+\s*\(",
        r"\b__import__\s*\(",
    ),
    _rule(
        "header_injection",
        "new_header",
        (
            r"[\r\n\u560a\u560d]+\s*(?:set-cookie|location|content-(?:type|length|disposition|security-policy)|"
            r"x-[\w-]{2,40}|host|refresh|link|access-control-[\w-]+|http/\d(?:\.\d)?\s+\d{3}|bcc|cc|to|from|"
            r"subject|transfer-encoding)\s*[: ]"
        ),
        locations=_VALUES | {"path", "header"},
    ),
    _rule(
        "scanner",
        "tool",
        (
            r"\b(?:sqlmap|nikto|nmap|masscan|zgrab|nuclei|acunetix|nessus|openvas|dirbuster|dirb|gobuster|"
            r"feroxbuster|ffuf|wfuzz|wpscan|joomscan|w3af|arachni|whatweb|netsparker|qualys|zaproxy|burp(?:suite|"
            r"collaborator)?|havij|hydra|skipfish|jaeles|xsstrike|commix|fimap|metasploit|censys|shodan|l9explore|"
            r"l9tcpid|expanse)\b"
        ),
        locations=frozenset({"header"}),
        headers=frozenset({"user-agent", "x-scanner", "from"}),
    ),
    _rule(
        "scanner",
        "secret_file",
        (
            r"/\.(?:env|git|svn|hg|ht(?:access|passwd)|aws|ssh|ds_store|vscode|idea|npmrc|dockercfg|docker|kube|"
            r"bash_history|well-known/security)\b"
        ),
        (
            r"/(?:id_rsa|wp-config\.php|web\.config|config\.(?:php|json|yml|yaml|inc)|credentials|"
            r"secrets?\.(?:json|yml|yaml)|composer\.(?:json|lock)|docker-compose\.yml|dump\.sql|database\.sql|"
            r"backup)\b"
        ),
        r"\.(?:bak|old|orig|save|swp|sql|sqlite3?|tar\.gz|tgz|rar|dump|pem|key)~?$",
        locations=frozenset({"path"}),
    ),
    _rule(
        "scanner",
        "admin_page",
        (
            r"/(?:phpmyadmin|pma|myadmin|adminer|wp-login\.php|wp-admin(?!/admin-ajax\.php)|xmlrpc\.php|"
            r"server-(?:status|info)|phpinfo(?:\.php)?|info\.php|test\.php|cgi-bin|manager/html|host-manager|"
            r"actuator|jmx-console|web-console|invoker|struts|druid/|boaform|hnap1|_ignition|telescope|debug/|"
            r"console/?$|shell\.php|cmd\.(?:php|jsp|asp)|vendor/phpunit|jenkins|geoserver|owa/auth|autodiscover|"
            r"remote/login|setup\.(?:php|cgi)|install\.php|trace\.axd|elmah\.axd)"
        ),
        locations=frozenset({"path"}),
    ),
)

_BLANKS = re.compile(r"\s{3,}")
_PLAIN_TEXT = re.compile(r"[\w \-.,:;/@+=?&%()*!~#]*\Z")
_LOADED_TEXT = re.compile(
    rf"\b(?:select|union|where|having|or|and)\b.*[=<>]|\b(?:select|delete|drop)\b.*\b(?:from|table)\b|--\s*$|[;&]\s*$|"
    rf"\b(?:or|and)\s+(?:true|false)\b|/(?:bin|etc|proc|tmp)\b|\b{_COMMANDS}\s+[-/]|^\s*{_COMMANDS}\s*$",
    re.IGNORECASE | re.DOTALL,
)


def propose_label(request: HttpRequest) -> tuple[Label, str, str] | None:
    """A first-level label for a request, if its look allows one.

    Returns:
        `(label, attack class, rule)`: an attack with the rule that matched and the part it matched in, e.g.
        `sqli.union_select in query:q`; or normal by the rule `plain` when path, query, body and cookies hold only
        words, numbers and simple punctuation, none of them loaded; or None: neither, so a person must look.
    """
    found = parts(request)
    hit = _first_match(found)
    if hit is not None:
        rule, part = hit
        return ATTACK, rule.attack_class, f"{rule.label} in {part.label}"
    if all(_is_plain(decode(part.text)) for part in found if part.location != "header"):
        return NORMAL, "", PLAIN
    return None


def matching_rules(request: HttpRequest) -> list[tuple[Rule, Part]]:
    """Every rule that matches, with the part it matches in."""
    return list(matches(parts(request)))


def _is_plain(text: str) -> bool:
    return _PLAIN_TEXT.match(text) is not None and _LOADED_TEXT.search(text) is None


def _first_match(found: Iterable[Part]) -> tuple[Rule, Part] | None:
    """The match of the rule that stands first in `RULES`, which go from the telling to the general."""
    order = {rule.label: place for place, rule in enumerate(RULES)}
    return min(matches(found), key=lambda match: order[match[0].label], default=None)


def matches(found: Iterable[Part]) -> Iterator[tuple[Rule, Part]]:
    """Like `matching_rules`, for a request that has been taken apart already."""
    for part in found:
        name = part.name.lower() if part.location == "header" else ""
        if name in _ROUTINE_HEADERS and len(part.text) <= 160 and "$" not in part.text and "<" not in part.text:
            continue
        texts = _readings(part)
        for rule in RULES:
            if part.location not in rule.locations or (rule.headers and name not in rule.headers):
                continue
            if name in _SENT_BY_PAGES and rule.attack_class == "scanner":
                continue
            if any(rule.pattern.search(text) for text in texts):
                yield rule, part


def _readings(part: Part) -> tuple[str, ...]:
    # Long runs of blanks say nothing and would make the patterns' time grow with their square.
    plain = _BLANKS.sub(_shorter_blanks, decode(part.text[:_MAX_CHARS]))
    simple = canonical(plain)
    return (plain,) if simple == plain else (plain, simple)


def _shorter_blanks(match: re.Match[str]) -> str:
    return "\r\n" if "\n" in match[0] or "\r" in match[0] else " "
