"""Check labelled requests before anything learns from them (ATLAS AML.M0007, Sanitize Training Data).

The report says everything that was looked at, so that a person can decide; `ok` is false only when training on
the data would be wrong or impossible.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.taxonomy import ATTACK, ATTACK_CLASSES, NORMAL

MIN_PER_LABEL: Final = 50
"""Fewest requests of each label that training makes sense with."""

MIN_PER_CLASS: Final = 10
"""Fewest requests of an attack class before its recall can be measured; fewer is a warning."""

MAX_METHOD_CHARS: Final = 32
MAX_URI_CHARS: Final = 65_536
MAX_BODY_BYTES: Final = 16 * 2**20
MAX_HEADERS: Final = 1_000
EARLIEST_TIME_S: Final = 631_152_000.0
"""1990-01-01, before the World Wide Web: an earlier time is a wrong clock or a wrong unit."""
LATEST_TIME_S: Final = 4_102_444_800.0
"""2100-01-01: a later time is a wrong unit (milliseconds) or a wrong clock."""

_EXAMPLES: Final = 5

Severity = Literal["error", "warning", "info"]


class InvalidDataset(SecmlopsError):
    """Labelled requests that nothing should be trained on.

    Attributes:
        reasons: what is wrong, one sentence each.
    """

    def __init__(self, reasons: Sequence[str]):
        self.reasons = tuple(reasons)
        super().__init__(f"the labelled requests cannot be used: {'; '.join(self.reasons)}")


class Finding(BaseModel):
    """One kind of thing found.

    Attributes:
        severity: `error` means do not train on this.
        check: short name of the check.
        message: one sentence for a person.
        count: records concerned.
        packet_ids: the first few of them.
    """

    model_config = ConfigDict(frozen=True)

    severity: Severity
    check: str
    message: str
    count: int
    packet_ids: tuple[str, ...] = ()


class ValidationReport(BaseModel):
    """What is in a labelled data set, and what is wrong with it.

    Attributes:
        records: how many.
        labels: requests per `secu_label1`.
        attack_classes: attacks per `secu_label2`.
        sites: how many sites.
        largest_site_share: share of the largest site, 0..1.
        reviewed: requests whose label a second person confirmed.
        duplicates: requests beyond the first of the same content (method, target, headers, body).
        with_time: requests whose time is known.
        first_time: earliest time, seconds since the Unix epoch; None when none is known.
        last_time: latest time.
        findings: what was found, errors first.
    """

    model_config = ConfigDict(frozen=True)

    records: int
    labels: dict[str, int]
    attack_classes: dict[str, int]
    sites: int
    largest_site_share: float
    reviewed: int
    duplicates: int
    with_time: int
    first_time: float | None
    last_time: float | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def require_ok(self) -> None:
        """Raise when there is an error.

        Raises:
            InvalidDataset: with the errors' sentences.
        """
        if not self.ok:
            raise InvalidDataset([finding.message for finding in self.errors])


def validate(
    records: Iterable[LabelledRequest], *, min_per_label: int = MIN_PER_LABEL, require_reviewed: bool = False
) -> ValidationReport:
    """Check schema, ranges, class counts, duplicates, contradictions and time order.

    Args:
        records: labelled requests in the order in which they were recorded or stored.
        min_per_label: fewest requests of each label.
        require_reviewed: whether a label that nobody reviewed is an error instead of a warning.
    """
    records = list(records)
    findings = [*_schema(records), *_ranges(records), *_counts(records, min_per_label)]
    findings += [*_reviews(records, require_reviewed), *_copies(records), *_times(records)]
    order = {"error": 0, "warning": 1, "info": 2}
    times = [t for record in records if (t := record.request.time) is not None and math.isfinite(t)]
    sites = Counter(record.site or record.request.site for record in records)
    return ValidationReport(
        records=len(records),
        labels=dict(sorted(Counter(str(record.label) for record in records).items())),
        attack_classes=dict(sorted(Counter(r.attack_class for r in records if r.is_attack).items())),
        sites=len(sites),
        largest_site_share=max(sites.values()) / len(records) if records else 0.0,
        reviewed=sum(record.reviewed for record in records),
        duplicates=len(records) - len({_content(record) for record in records}),
        with_time=len(times),
        first_time=min(times, default=None),
        last_time=max(times, default=None),
        findings=tuple(sorted(findings, key=lambda finding: order[finding.severity])),
    )


def _schema(records: Sequence[LabelledRequest]) -> Iterator[Finding]:
    yield from _each(records, "error", "label", "no label of the taxonomy", lambda r: r.label not in (NORMAL, ATTACK))
    yield from _each(
        records,
        "error",
        "attack_class",
        "attacks without a class of the taxonomy, or normal traffic with one",
        lambda r: r.attack_class not in ATTACK_CLASSES if r.is_attack else bool(r.attack_class),
    )
    yield from _each(records, "error", "wire_text", "text fields that are not wire bytes (latin-1)", _is_not_wire_text)
    yield from _each(records, "warning", "empty_target", "requests without a target", lambda r: not r.request.uri)
    yield from _each(records, "warning", "empty_method", "requests without a method", lambda r: not r.request.method)
    ids = Counter(record.packet_id for record in records if record.packet_id)
    twice = [packet_id for packet_id, count in ids.items() if count > 1]
    if twice:
        yield Finding(
            severity="error",
            check="packet_id",
            message="packet ids that stand more than once",
            count=len(twice),
            packet_ids=tuple(twice[:_EXAMPLES]),
        )


def _ranges(records: Sequence[LabelledRequest]) -> Iterator[Finding]:
    checks: tuple[tuple[Severity, str, str, Callable[[LabelledRequest], bool]], ...] = (
        ("error", "time_range", "times that are not finite or outside 1990..2100: wrong unit or clock?", _bad_time),
        (
            "warning",
            "method_length",
            f"methods longer than {MAX_METHOD_CHARS}",
            lambda r: len(r.request.method) > MAX_METHOD_CHARS,
        ),
        (
            "warning",
            "target_length",
            f"targets longer than {MAX_URI_CHARS}",
            lambda r: len(r.request.uri) > MAX_URI_CHARS,
        ),
        (
            "warning",
            "body_size",
            f"bodies larger than {MAX_BODY_BYTES} bytes",
            lambda r: len(r.request.body) > MAX_BODY_BYTES,
        ),
        (
            "warning",
            "header_count",
            f"requests with more than {MAX_HEADERS} headers",
            lambda r: len(r.request.headers) > MAX_HEADERS,
        ),
    )
    for severity, check, message, test in checks:
        yield from _each(records, severity, check, message, test)


def _counts(records: Sequence[LabelledRequest], min_per_label: int) -> Iterator[Finding]:
    labels = Counter(record.label for record in records)
    for label in (NORMAL, ATTACK):
        if labels[label] < min_per_label:
            yield Finding(
                severity="error",
                check="too_few_labels",
                message=f"{labels[label]} requests are labelled {label}, at least {min_per_label} are needed",
                count=labels[label],
            )
    classes = Counter(record.attack_class for record in records if record.is_attack)
    for name, count in sorted(classes.items()):
        if count < MIN_PER_CLASS:
            yield Finding(
                severity="warning",
                check="small_class",
                message=f"only {count} attacks are {name or 'without a class'}: its recall will mean little",
                count=count,
            )


def _reviews(records: Sequence[LabelledRequest], required: bool) -> Iterator[Finding]:
    severity: Severity = "error" if required else "warning"
    yield from _each(records, severity, "unreviewed", "labels that nobody has reviewed", lambda r: not r.reviewed)


def _copies(records: Sequence[LabelledRequest]) -> Iterator[Finding]:
    groups: dict[tuple, list[LabelledRequest]] = defaultdict(list)
    for record in records:
        groups[_content(record)].append(record)
    copies = [record for group in groups.values() for record in group[1:]]
    if copies:
        yield _finding("info", "duplicates", "requests that repeat an earlier one's content", copies)
    torn = [record for group in groups.values() if len({r.label for r in group}) > 1 for record in group]
    if torn:
        # Not an error: one planted copy must not be able to stop every training run. `poisoning` names them.
        yield _finding("warning", "contradiction", "requests of the same content with different labels", torn)


def _times(records: Sequence[LabelledRequest]) -> Iterator[Finding]:
    known = [record for record in records if record.request.time is not None]
    if records and len(known) < len(records):
        yield _finding(
            "info", "time_unknown", "requests without a time", [r for r in records if r.request.time is None]
        )
    backwards = [later for earlier, later in pairwise(known) if _time(later) < _time(earlier)]
    if backwards:
        yield _finding("info", "time_order", "requests earlier than the one before them", backwards)


def _each(
    records: Sequence[LabelledRequest],
    severity: Severity,
    check: str,
    message: str,
    test: Callable[[LabelledRequest], bool],
) -> Iterator[Finding]:
    found = [record for record in records if test(record)]
    if found:
        yield _finding(severity, check, message, found)


def _finding(severity: Severity, check: str, message: str, found: Sequence[LabelledRequest]) -> Finding:
    ids = tuple(record.packet_id or record.request.digest() for record in found[:_EXAMPLES])
    return Finding(severity=severity, check=check, message=f"{len(found)} {message}", count=len(found), packet_ids=ids)


def _content(record: LabelledRequest) -> tuple:
    request = record.request
    return (request.method, request.host, request.uri, request.headers, request.body)


def _is_not_wire_text(record: LabelledRequest) -> bool:
    request = record.request
    fields = [request.method, request.uri, request.host, *(text for header in request.headers for text in header)]
    return any(text and max(text) > "\xff" for text in fields)


def _bad_time(record: LabelledRequest) -> bool:
    time = record.request.time
    return time is not None and not (EARLIEST_TIME_S <= time <= LATEST_TIME_S)


def _time(record: LabelledRequest) -> float:
    return record.request.time if record.request.time is not None else math.nan
