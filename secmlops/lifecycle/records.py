"""Records that steps leave for each other: JSON files, read within a bound and refused by the error of their kind."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from secmlops.errors import SecmlopsError

Record = TypeVar("Record", bound=BaseModel)


def read_record(
    path: str | Path, kind: type[Record], most_bytes: int, invalid: Callable[[str | Path, str], SecmlopsError]
) -> Record:
    """Read a record of this kind.

    Args:
        path: the file.
        kind: what it must be.
        most_bytes: larger files are not read to their end.
        invalid: the error to raise, made from the file and what is wrong with it.

    Raises:
        SecmlopsError: the given one; absent, too large, not JSON, or no such record.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise invalid(path, f"cannot be read: {error.strerror}") from error
    if len(data) > most_bytes:
        raise invalid(path, f"larger than {most_bytes:,} bytes")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise invalid(path, f"{place}: {first['msg']}") from error
