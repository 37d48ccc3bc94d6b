"""HTML pages for people: one self-contained file each.

Nothing is fetched when such a file is opened: style and pictures are inside, and there is no script. All text from
outside is escaped by the template engine.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from markupsafe import Markup

_SHARED: Final = Path(__file__).parent / "templates"


def render(templates: Path, template: str, **context: Any) -> str:
    """Render a page; `base.html`, its frame and style, is shared by all.

    Args:
        templates: the folder of the use case's templates.
        template: the page's file there.
        context: what the template names; a name that is missing is an error.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([templates, _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(printable=_printable, ticked=_ticked)
    return environment.get_template(template).render(
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), **context
    )


def _printable(text: str) -> str:
    """Text from a request with its control characters made visible."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def _ticked(text: str) -> "Markup":
    """Our own text with what stands between backquotes as code."""
    from markupsafe import Markup, escape

    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if index % 2 else escape(piece) for index, piece in enumerate(pieces)
    )
