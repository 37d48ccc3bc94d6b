"""The one base class of every error this library raises on purpose."""


class SecmlopsError(Exception):
    """A failure with a sentence for a person; subclasses carry the facts as attributes."""
