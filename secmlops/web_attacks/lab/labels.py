"""The lab's ground truth: one JSON line per recorded request, and how it finds its request in a capture again.

A label names its request by the client's address and port together with a digest of the very bytes sent, and,
for readers that do not keep the bytes, by the request's position on its connection. Both live only in the ground
truth file: nothing of them reaches a model.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import Label, parse_label


class BadLabels(SecmlopsError):
    """A ground truth file that the lab did not write.

    Attributes:
        path: the file.
        line: the line at fault, from 1.
    """

    def __init__(self, path: Path, line: int, detail: str):
        self.path = path
        self.line = line
        super().__init__(f"{path}, line {line}: {detail}; record the lab traffic again")


@dataclass(frozen=True, slots=True)
class LabLabel:
    """What the lab knows of one recorded request.

    Attributes:
        client: client as `address:port`, unique per connection within a recording.
        index: position of the request on its connection, from 0.
        digest: SHA-256 (hex) of the bytes sent.
        label1: `secu_label1`.
        label2: `secu_label2`; empty for normal requests.
        tags: `suspicious_benign`, `malformed`, `obfuscated`.
        site: host of the site.
        part: where the payload is (`query:q`, `header:Referer`, ...); empty for normal requests.
        payload: the payload before it was encoded; empty for normal requests.
        time: seconds since the epoch at which the first byte was sent.
    """

    client: str
    index: int
    digest: str
    label1: Label
    label2: str
    tags: tuple[str, ...]
    site: str
    part: str
    payload: str
    time: float

    def to_line(self) -> str:
        """One line of the ground truth file."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, separators=(",", ":"))


def wire_digest(wire: bytes) -> str:
    """The digest by which a label names the bytes of its request."""
    return hashlib.sha256(wire).hexdigest()


def labels_path(pcap: Path) -> Path:
    """Where the ground truth of a recording lies: beside it, as `<name>.labels.jsonl`."""
    return pcap.with_name(f"{pcap.name}.labels.jsonl")


def lab_labels(path: str | Path) -> Iterator[LabLabel]:
    """Read a ground truth file line by line.

    Raises:
        BadLabels: a line is not what the lab writes.
        FileNotFoundError: there is no such file.
    """
    source = Path(path)
    with source.open(encoding="ascii") as file:
        for number, line in enumerate(file, start=1):
            try:
                data = json.loads(line)
                yield LabLabel(**{**data, "label1": parse_label(data["label1"]), "tags": tuple(data["tags"])})
            except (ValueError, TypeError, KeyError, SecmlopsError) as error:
                raise BadLabels(source, number, f"not a lab label ({type(error).__name__})") from None


def match(requests: Iterable[object], path: str | Path) -> Iterator[tuple[HttpRequest, LabLabel | None]]:
    """Pair requests read back from a recording with their labels, in the order of the requests.

    What is not an `HttpRequest` (a reader's quarantined bytes) is skipped. A request that the lab did not send
    comes with None. Memory is linear in the number of labels.

    Raises:
        BadLabels: the ground truth file is broken.
    """
    by_bytes: dict[tuple[str, str], list[LabLabel]] = {}
    by_place: dict[tuple[str, int], LabLabel] = {}
    for label in lab_labels(path):
        by_bytes.setdefault((label.client, label.digest), []).append(label)
        by_place[(label.client, label.index)] = label
    seen: Counter[tuple[str, str]] = Counter()
    for request in requests:
        if not isinstance(request, HttpRequest):
            continue
        index = seen[(request.src, "")]
        seen[(request.src, "")] += 1
        key = (request.src, wire_digest(request.raw) if request.raw else "")
        twins = by_bytes.get(key)
        if twins is None:
            yield request, by_place.get((request.src, index))
            continue
        yield request, twins[min(seen[key], len(twins) - 1)]
        seen[key] += 1


def labelled(requests: Iterable[object], path: str | Path, *, reviewed: bool = False) -> Iterator[LabelledRequest]:
    """Requests of a recording with the lab's labels; requests that the lab did not send are left out.

    Args:
        requests: what `readers.read` gave for the recording.
        path: its ground truth file.
        reviewed: whether the lab's knowledge counts as reviewed (a first-level label otherwise).

    Raises:
        BadLabels: the ground truth file is broken.
    """
    for request, label in match(requests, path):
        if label is not None:
            yield LabelledRequest(
                request=request,
                label=label.label1,
                attack_class=label.label2,
                site=label.site,
                reviewed=reviewed,
                packet_id=request.digest(),
                tags=label.tags,
            )
