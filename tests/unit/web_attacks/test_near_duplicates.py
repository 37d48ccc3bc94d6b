import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.near_duplicates import cluster, request_text
from secmlops.web_attacks.request import HttpRequest

TEXT = "/search?q=where can one buy the red garden chair that was shown in the catalogue of last spring"


def get(uri: str, **fields) -> HttpRequest:
    return HttpRequest("GET", uri, **fields)


def test_small_changes_make_no_difference_and_large_ones_do():
    same = [get(TEXT), get(TEXT + "s"), get(TEXT.replace("red", "blue")), get(TEXT.replace(" ", "%20"))]
    other = [get("/cart/checkout?step=payment"), HttpRequest("POST", "/login", body=b"user=anna&password=secret")]
    found = cluster(same + other)
    assert len(set(found[:4].tolist())) == 1
    assert len(set(found.tolist())) == 3


def test_numbers_and_long_identifiers_do_not_count():
    assert request_text(get("/order/17?token=9f8e7d6c5b4a3f2e")) == request_text(get("/order/99321?token=00ffab1299cc"))


def test_host_time_and_client_do_not_count():
    one = get(TEXT, host="a.example", time=1.0, src="10.0.0.1:5", headers=(("Host", "a.example"), ("Accept", "*/*")))
    two = get(f"http://b.example{TEXT}", host="b.example", headers=(("User-Agent", "curl/8"),))
    assert request_text(one) == request_text(two)


def test_a_payload_in_a_header_counts():
    clean = get("/", headers=(("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"),))
    attack = get("/", headers=(("User-Agent", "() { :;}; /bin/bash -c 'cat /etc/passwd'"),))
    assert len(set(cluster([clean, attack]).tolist())) == 2


def test_nothing_and_nearly_nothing():
    assert cluster([]).tolist() == []
    assert cluster([HttpRequest("", "")] * 2 + [get("/")]).tolist()[:2] == [0, 0]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.builds(HttpRequest, method=st.just("GET"), uri=st.text(st.characters(max_codepoint=255), max_size=80)),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_groups_do_not_depend_on_order_and_equal_requests_share_one(some, lots):
    def as_sets(requests: list[HttpRequest], groups: np.ndarray) -> set[frozenset[HttpRequest]]:
        return {frozenset(r for r, g in zip(requests, groups, strict=True) if g == group) for group in set(groups)}

    shuffled = some[:]
    lots.shuffle(shuffled)
    assert as_sets(some, cluster(some)) == as_sets(shuffled, cluster(shuffled))
    found = cluster(some + some)
    assert (found[: len(some)] == found[len(some) :]).all()
