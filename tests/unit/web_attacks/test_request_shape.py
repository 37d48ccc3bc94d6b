import numpy as np
import pytest

from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.request_shape import SHAPE_NAMES, request_shapes


def test_the_numbers_are_what_their_names_say():
    request = HttpRequest("get", "/a/b1?x=%27&y=2", headers=(("Host", "h"), ("Accept", "*")), body=b"12345")
    shape = dict(zip(SHAPE_NAMES, request_shapes([request])[0], strict=True))
    assert shape["path_chars"] == 5
    assert shape["path_depth"] == 2
    assert shape["query_chars"] == 9
    assert shape["query_parameters"] == 2
    assert shape["body_bytes"] == 5
    assert shape["headers"] == 2
    assert shape["digit_share"] == pytest.approx(4 / 15)
    assert shape["letter_share"] == pytest.approx(4 / 15)
    assert shape["special_share"] == pytest.approx(1 / 15)
    assert shape["encoded_share"] == pytest.approx(1 / 15)
    assert shape["reads_only"] == 1
    assert request_shapes([HttpRequest("POST", "aabb")])[0, SHAPE_NAMES.index("target_entropy_bits")] == 1


def test_any_request_has_finite_numbers():
    odd = [HttpRequest("", ""), HttpRequest("X", "\x00\xff" * 9), HttpRequest("GET", "/é?" + "&" * 100)]
    shapes = request_shapes(odd)
    assert shapes.shape == (3, len(SHAPE_NAMES))
    assert np.isfinite(shapes).all()
    assert request_shapes([]).shape == (0, len(SHAPE_NAMES))
