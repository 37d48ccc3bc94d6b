"""What Zeek extracts from its own HTTP test traces is what the capture reader extracts.

How the two are made comparable, and why that is fair:

- A record without a method is not a request: Zeek logs a reply to which it has no readable request. Our reader yields
  requests only; bytes of a client that are none are quarantined.
- `-` (unset) and `(empty)` are empty text.
- Zeek's `version` is the version of the *reply*, and unset without one; ours is the request's. It is compared where
  Zeek has one, so a server that answers HTTP/1.0 to an HTTP/1.1 request is a difference (one trace, named below).
- Zeek undoes the percent-encoding of `uri`; ours is as sent. Both are compared decoded.
- Five traces have an empty list. That does not say that Zeek finds nothing: the log columns from which the lists were
  made are missing in Zeek's baselines of these five tests. `FROM_BASELINE_COLUMNS` holds the requests that the columns
  left in these baselines show, and where they show only the replies (`invalid-content-ranges`), those replies'
  requests as they stand in the trace.
"""

import io
import json
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.readers import Limits, Quarantined, read
from secmlops.web_attacks.request import HttpRequest

UNSET = ("-", "(empty)")
FROM_BASELINE_COLUMNS = {
    "261.chunked-rest": [("POST", "target", "/", ""), ("GET", "target", "/smuggled-multi-te", "")],
    "261.cl-uint64max": [("POST", "target", "/", ""), ("GET", "target", "/smuggled-cl-uint64max", "")],
    "invalid-content-ranges": [("GET", "10.0.0.2", "/file.bin", "")] * 3,
    "query-method": [("QUERY", "example.com", "/users", "1.1")],
    "query-method-non-standard-port": [("QUERY", "example.com", "/users", "1.1")],
}
REPLY_OF_ANOTHER_VERSION = {"http-basic-auth-extra-space"}

Row = tuple[str, str, bytes, str]


def oracle(folder: Path) -> dict[str, tuple[Path, list[Row]]]:
    """Per test of Zeek: its trace, and the requests expected."""
    found = {}
    for path in sorted(folder.glob("*.expected.json")):
        name = path.name.removesuffix(".expected.json")
        expected = json.loads(path.read_text())
        rows = [
            tuple("" if record[field] in UNSET else record[field] for field in ("method", "host", "uri", "version"))
            for record in expected["requests"]
            if record["method"] not in UNSET
        ]
        rows = FROM_BASELINE_COLUMNS.get(name, rows)
        found[name] = (folder / expected["trace"], [(m, h, unquote_to_bytes(u), v) for m, h, u, v in rows])
    return found


def extracted(trace: Path) -> list[Row]:
    return [
        (item.method, item.host, unquote_to_bytes(item.uri), item.version)
        for item in read(trace)
        if isinstance(item, HttpRequest)
    ]


def agree(ours: list[Row], zeeks: list[Row]) -> bool:
    """Equal in number, and each of Zeek's requests is one of ours; a version that Zeek left unset is any."""
    left = list(ours)
    for row in zeeks:
        match = next((mine for mine in left if mine[:3] == row[:3] and row[3] in ("", mine[3])), None)
        if match is None:
            return False
        left.remove(match)
    return not left


@pytest.fixture(scope="module")
def traces(public_data) -> dict[str, tuple[Path, list[Row]]]:
    folder = public_data / "http" / "pcap"
    if not folder.is_dir():
        pytest.skip("Zeek's traces are not among the public data")
    return oracle(folder)


def test_the_requests_of_at_least_nineteen_of_twenty_traces_are_zeeks(traces):
    differing = {name for name, (trace, rows) in traces.items() if not agree(extracted(trace), rows)}
    assert len(traces) == 20
    assert differing == REPLY_OF_ANOTHER_VERSION


def test_the_one_differing_trace_differs_in_nothing_but_the_version_of_the_reply(traces):
    for name in REPLY_OF_ANOTHER_VERSION:
        trace, rows = traces[name]
        assert [row[:3] for row in extracted(trace)] == [row[:3] for row in rows]
        assert [row[3] for row in extracted(trace)] == ["1.1"] and [row[3] for row in rows] == ["1.0"]


def test_empty_lists_are_those_of_tests_whose_baseline_lacks_the_columns(traces, public_data):
    folder = public_data / "http" / "pcap"
    empty = {
        path.name.removesuffix(".expected.json")
        for path in folder.glob("*.expected.json")
        if not json.loads(path.read_text())["requests"]
    }
    assert empty == set(FROM_BASELINE_COLUMNS)


def test_malformed_requests_of_the_traces_are_kept_with_their_bytes(traces):
    def kept(name):
        return [(item.reason, item.data) for item in read(traces[name][0]) if isinstance(item, Quarantined)]

    ((reason, data),) = kept("http-bad-request-with-version")
    assert reason == "bad_request_line" and data.startswith(b"\xdd\x00\x00\x00 GET /txt HTTP/1.1\r\nConnection: Close")
    assert kept("http-11-request-then-cruft") == [("bad_request_line", b"T / HTTP\n\n" * 4)]
    ((reason, data),) = kept("http-connect")
    assert reason == "tunnel" and data.startswith(b"HELO 208.191.73.21\r\nMAIL FROM:")


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_byte_flips_cuts_and_repeats_never_crash_the_reader(traces, data):
    trace = data.draw(st.sampled_from(sorted(path for path, _ in traces.values())))
    raw = bytearray(trace.read_bytes())
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(1, 255)), max_size=20)):
        raw[at] ^= value
    start, size = data.draw(st.tuples(st.integers(0, len(raw)), st.integers(0, 200)))
    raw[start : start + size] = data.draw(st.sampled_from([b"", bytes(raw[start : start + size]) * 2]))
    limits = Limits(max_packet_bytes=100_000, max_quarantine_bytes=1_000)
    found = list(read(io.BytesIO(bytes(raw)), format="pcap", limits=limits))
    assert len(found) <= 2 * (len(raw) // 16 + 4)
    for item in found:
        assert isinstance(item, HttpRequest | Quarantined)
        assert len(item.raw if isinstance(item, HttpRequest) else item.data) <= 2 * len(raw)
