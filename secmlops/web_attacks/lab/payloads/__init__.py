"""Attack payloads by class, composed from tables of building blocks: one grammar a file.

Nothing here is a list of known payloads: each class is a set of techniques, contexts and notations that combine.
`PAYLOADS` maps each attack class to its generator.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from secmlops.web_attacks.lab.payloads import (
    cmd_injection,
    header_injection,
    log4shell,
    nosqli,
    other,
    path_traversal,
    scanner,
    shellshock,
    sqli,
    ssrf,
    ssti,
    xss,
    xxe,
)

PAYLOADS: Final[Mapping[str, Callable[[Random], str]]] = {
    "sqli": sqli.payload,
    "xss": xss.payload,
    "path_traversal": path_traversal.payload,
    "cmd_injection": cmd_injection.payload,
    "ssrf": ssrf.payload,
    "ssti": ssti.payload,
    "xxe": xxe.payload,
    "log4shell": log4shell.payload,
    "nosqli": nosqli.payload,
    "header_injection": header_injection.payload,
    "shellshock": shellshock.payload,
    "scanner": scanner.payload,
    "other": other.payload,
}
