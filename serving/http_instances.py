"""Instances of the web-attacks service: HTTP requests as raw bytes or as JSON objects."""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from secmlops.web_attacks.http1 import parse_request
from secmlops.web_attacks.jsonl import from_json
from secmlops.web_attacks.request import HttpRequest, InvalidRequest
from serving.limits import Limits
from serving.protocol import parse_json


def read_instance(instance: Any, limits: Limits) -> HttpRequest:
    """Read bytes (raw HTTP/1.1, or JSON where they begin with `{`) or a JSON object.

    An object is `{raw_base64}`, `{raw}` as latin-1 text, or the fields that `from_json` takes. Those hold no NUL
    character: a request that does is sent as bytes.

    Raises:
        InvalidRequest: it is no request.
        Refusal: it begins with `{` and is not JSON, or is nested too deep.
    """
    if isinstance(instance, bytes):
        if not instance.lstrip().startswith(b"{"):
            return parse_request(instance)
        instance = parse_json(instance, limits)
    if isinstance(instance, dict) and "raw_base64" in instance:
        return parse_request(_unbase64(instance["raw_base64"]))
    if isinstance(instance, dict) and not instance.get("raw") and any("\0" in text for text in _texts(instance)):
        raise InvalidRequest("nul_byte", "a text field holds a NUL character: send bytes as base64 or raw")
    return from_json(instance)


def _unbase64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise InvalidRequest("bad_field", "`raw_base64` is not valid base64") from None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
