"""The names of labels and attack classes (`secu_label1`, `secu_label2`) and their common aliases."""

from typing import Final, Literal

from secmlops.errors import SecmlopsError

Label = Literal["normal", "attack"]

NORMAL: Final = "normal"
ATTACK: Final = "attack"

ATTACK_CLASSES: Final = (
    "sqli",
    "xss",
    "path_traversal",
    "cmd_injection",
    "ssrf",
    "ssti",
    "xxe",
    "log4shell",
    "nosqli",
    "header_injection",
    "shellshock",
    "scanner",
    "other",
)

_LABEL_ALIASES: Final = {
    "normal": NORMAL,
    "norm": NORMAL,
    "benign": NORMAL,
    "legitimate": NORMAL,
    "legal": NORMAL,
    "attack": ATTACK,
    "anom": ATTACK,
    "malicious": ATTACK,
}

_CLASS_ALIASES: Final = {
    "sql": "sqli",
    "sql_injection": "sqli",
    "cmdexe": "cmd_injection",
    "cmdi": "cmd_injection",
    "command_injection": "cmd_injection",
    "rce": "cmd_injection",
    "shell": "cmd_injection",
    "traversal": "path_traversal",
    "lfi": "path_traversal",
    "nosql": "nosqli",
    "nosql_injection": "nosqli",
    "crlf": "header_injection",
    "template_injection": "ssti",
}


class UnknownLabel(SecmlopsError):
    """A label that is neither `normal` nor `attack` nor an alias of them.

    Attributes:
        label: the text found.
    """

    def __init__(self, label: object):
        self.label = label
        super().__init__(f"unknown label {str(label)[:40]!r}: use one of {', '.join(sorted(_LABEL_ALIASES))}")


def parse_label(text: object) -> Label:
    """Map a label or its alias to `normal` or `attack`.

    Raises:
        UnknownLabel: anything else.
    """
    label = _LABEL_ALIASES.get(text.strip().lower()) if isinstance(text, str) else None
    if label is None:
        raise UnknownLabel(text)
    return label  # type: ignore[return-value]


def parse_attack_class(text: str) -> str:
    """Map an attack family's name to one of `ATTACK_CLASSES`; a family not known here is `other`."""
    name = text.strip().lower().replace("-", "_").replace(" ", "_")
    name = _CLASS_ALIASES.get(name, name)
    return name if name in ATTACK_CLASSES else "other"
