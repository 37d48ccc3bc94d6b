"""From labelled requests to training, validation and test sets that do not leak the answer.

Most public sets can be told apart by the host, the order of the headers, or the hour; and a model that has seen a
near copy of a test request is judged on its memory. So these are removed, whole sites (or later periods) are held
back, and no near duplicate stands on two sides.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from secmlops.web_attacks import near_duplicates
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK, NORMAL
from secmlops.web_attacks.validation import InvalidDataset

SplitName = Literal["train", "validation", "test"]
SPLITS: Final[tuple[SplitName, ...]] = ("train", "validation", "test")

MIN_SITES: Final = 5
"""Fewest sites of a label to hold whole sites back; with fewer the split goes by time or by group."""

_AUTHORITY = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_KNOWN_TIMES_SHARE: Final = 0.9
_SHARE_TOLERANCE: Final = 0.5


class LabelSplit(BaseModel):
    """How one label was split.

    Attributes:
        label: `normal` or `attack`.
        by: `site`: whole sites are held back; `time`: the latest are held back; `group`: groups of near duplicates
            by lot.
        why: why not by site, in a sentence; empty when it was by site.
        rows: requests per split.
        sites: sites per split.
        attack_classes: attacks per split and class; empty for normal traffic.
        first_time: earliest time per split, seconds since the Unix epoch; None where no time is known.
        last_time: latest time per split.
    """

    model_config = ConfigDict(frozen=True)

    label: str
    by: Literal["site", "time", "group"]
    why: str
    rows: dict[SplitName, int]
    sites: dict[SplitName, int]
    attack_classes: dict[SplitName, dict[str, int]]
    first_time: dict[SplitName, float | None]
    last_time: dict[SplitName, float | None]


class SplitReport(BaseModel):
    """What `split` did.

    Attributes:
        records: requests given.
        groups: groups of near duplicates among them.
        dropped: requests left out of validation or test because a near duplicate stands in an earlier split.
        labels: one entry per label.
        missing_classes: attack classes that training has but validation or test lacks, or the reverse.
    """

    model_config = ConfigDict(frozen=True)

    records: int
    groups: int
    dropped: dict[SplitName, int]
    labels: tuple[LabelSplit, ...]
    missing_classes: dict[SplitName, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Split:
    """The three sets, each in the order given, and the report on how they came about."""

    train: list[LabelledRequest]
    validation: list[LabelledRequest]
    test: list[LabelledRequest]
    report: SplitReport


def strip_leaks(record: LabelledRequest) -> LabelledRequest:
    """Remove what tells the class without being the attack.

    The host (also in the target and, where it is the same, in the Referer), the order and the spelling of the
    header names, the time, the addresses, and the raw bytes, which hold all of these. Header values stay: attacks
    come in them. The packet id stays that of the request before anything was removed.
    """
    request = record.request
    headers = [
        (name.lower(), _without_host(name, value, request.host))
        for name, value in request.headers
        if name.lower() != "host" or not _is_plain_host(value)
    ]
    # A stable sort keeps several headers of one name in their order: it is what they mean.
    stripped = HttpRequest(
        method=request.method,
        uri=_origin_form(request.uri),
        version=request.version,
        headers=tuple(sorted(headers, key=lambda header: header[0])),
        body=request.body,
    )
    return replace(
        record,
        request=stripped,
        site=record.site or request.site,
        packet_id=record.packet_id or request.digest(),
    )


def split(records: Iterable[LabelledRequest], *, validation: float = 0.2, test: float = 0.2, seed: int = 0) -> Split:
    """Split by site and time, with no near duplicates across the splits.

    A label with at least `MIN_SITES` sites is split by whole sites. With fewer, the latest requests are held back
    (each attack class for itself) when times are known, and otherwise groups of near duplicates are drawn by lot.
    Attacks often hit one site only, so the two labels may go different ways; the report says which and why. A
    request of validation or test with a near duplicate in an earlier split is dropped and counted.

    Args:
        records: labelled requests, before `strip_leaks`.
        validation: wanted share of the requests of each label, above 0.
        test: likewise.
        seed: seed of the lots; the same records and seed give the same split in whatever order they come.

    Raises:
        ValueError: shares that leave no room for training.
        InvalidDataset: a split would lack a label.
    """
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError("validation and test must be above 0 and leave room for training")
    records = list(records)
    shares: dict[SplitName, float] = {"train": 1 - validation - test, "validation": validation, "test": test}
    groups = near_duplicates.cluster([record.request for record in records]).tolist()
    rows = [_Row(i, record, groups[i], _identity(record)) for i, record in enumerate(records)]
    rows.sort(key=lambda row: row.identity)
    assigned: dict[int, SplitName] = {}
    ways: dict[str, _Way] = {}
    for label in (NORMAL, ATTACK):
        of_label = [row for row in rows if row.record.label == label]
        ways[label] = _assign(of_label, shares, random.Random(f"{seed}:{label}"))
        assigned.update(ways[label].assigned)
    dropped = _drop_near_duplicates(rows, assigned)
    kept: dict[SplitName, list[LabelledRequest]] = {name: [] for name in SPLITS}
    for index, record in enumerate(records):
        if index in assigned:
            kept[assigned[index]].append(record)
    report = _report(records, len(set(groups)), dropped, ways, kept)
    _require_both_labels(report)
    return Split(kept["train"], kept["validation"], kept["test"], report)


@dataclass(frozen=True, slots=True)
class _Row:
    index: int
    record: LabelledRequest
    group: int
    identity: str

    @property
    def site(self) -> str:
        return self.record.site or self.record.request.site


@dataclass(frozen=True, slots=True)
class _Way:
    by: Literal["site", "time", "group"]
    why: str
    assigned: Mapping[int, SplitName]


def _assign(rows: Sequence[_Row], shares: Mapping[SplitName, float], rng: random.Random) -> _Way:
    sites = Counter(row.site for row in rows)
    if len(sites) < MIN_SITES:
        why = f"only {len(sites)} site{'s' if len(sites) != 1 else ''}"
    else:
        place = _lots(sites, shares, rng)
        assigned = {row.index: place[row.site] for row in rows}
        why = _unbalanced(rows, assigned, shares)
        if not why:
            return _Way("site", "", assigned)
    known = sum(row.record.request.time is not None for row in rows)
    if rows and known >= _KNOWN_TIMES_SHARE * len(rows):
        return _Way("time", why, _each_class(rows, lambda of_class: _by_time(of_class, shares)))
    why += f"; the time of {len(rows) - known} of {len(rows)} requests is not known" if rows else ""
    return _Way("group", why, _each_class(rows, lambda of_class: _by_group(of_class, shares, rng)))


def _unbalanced(rows: Sequence[_Row], assigned: Mapping[int, SplitName], shares: Mapping[SplitName, float]) -> str:
    """Why whole sites do not make a useful split of these rows; empty when they do."""
    counts = Counter(assigned.values())
    for name, share in shares.items():
        if abs(counts[name] / len(rows) - share) > _SHARE_TOLERANCE * share:
            return f"whole sites would put {counts[name]} of {len(rows)} requests into {name}"
    classes = Counter(row.record.attack_class for row in rows)
    present = {(row.record.attack_class, assigned[row.index]) for row in rows}
    for attack_class, count in sorted(classes.items()):
        for name, share in shares.items():
            if count * share >= 10 and (attack_class, name) not in present:
                return f"whole sites would leave {name} without {attack_class or NORMAL}"
    return ""


def _each_class(rows: Sequence[_Row], assign: Callable[[Sequence[_Row]], dict[int, SplitName]]) -> dict[int, SplitName]:
    """Assign the rows of each attack class for themselves; a group of several classes goes with its largest."""
    votes: dict[int, Counter[str]] = defaultdict(Counter)
    for row in rows:
        votes[row.group][row.record.attack_class] += 1
    classes: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        classes[max(sorted(votes[row.group]), key=votes[row.group].__getitem__)].append(row)
    assigned: dict[int, SplitName] = {}
    for name in sorted(classes):
        assigned.update(assign(classes[name]))
    return assigned


def _by_time(rows: Sequence[_Row], shares: Mapping[SplitName, float]) -> dict[int, SplitName]:
    """The earliest groups train, the latest test; a group stands where its first request stands."""
    first: dict[int, float] = {}
    sizes: Counter[int] = Counter()
    for row in rows:
        time = row.record.request.time
        first[row.group] = min(first.get(row.group, float("inf")), float("inf") if time is None else time)
        sizes[row.group] += 1
    place: dict[int, SplitName] = {}
    seen = 0
    bounds = (shares["train"] * len(rows), (shares["train"] + shares["validation"]) * len(rows))
    for group in sorted(first, key=lambda group: (first[group], group)):
        middle = seen + sizes[group] / 2
        place[group] = "train" if middle < bounds[0] else "validation" if middle < bounds[1] else "test"
        seen += sizes[group]
    return {row.index: place[row.group] for row in rows}


def _by_group(rows: Sequence[_Row], shares: Mapping[SplitName, float], rng: random.Random) -> dict[int, SplitName]:
    place = _lots(Counter(row.group for row in rows), shares, rng)
    return {row.index: place[row.group] for row in rows}


def _lots(sizes: Mapping, shares: Mapping[SplitName, float], rng: random.Random) -> dict:
    """Put units into splits so that the shares come out: the largest first, each where most room is left."""
    order = list(sizes)
    rng.shuffle(order)
    order.sort(key=lambda unit: -sizes[unit])
    total = sum(sizes.values())
    room = {name: share * total for name, share in shares.items()}
    place = {}
    for unit in order:
        name = max(SPLITS, key=lambda name: room[name])
        place[unit] = name
        room[name] -= sizes[unit]
    return place


def _drop_near_duplicates(rows: Sequence[_Row], assigned: dict[int, SplitName]) -> dict[SplitName, int]:
    """Leave each group in the earliest split that has it; returns what was dropped per split."""
    home: dict[int, int] = {}
    for row in rows:
        if row.index in assigned:
            rank = SPLITS.index(assigned[row.index])
            home[row.group] = min(home.get(row.group, rank), rank)
    dropped: dict[SplitName, int] = dict.fromkeys(SPLITS, 0)
    for row in rows:
        if row.index in assigned and SPLITS.index(assigned[row.index]) != home[row.group]:
            dropped[assigned.pop(row.index)] += 1
    return dropped


def _report(
    records: Sequence[LabelledRequest],
    groups: int,
    dropped: dict[SplitName, int],
    ways: Mapping[str, _Way],
    kept: Mapping[SplitName, Sequence[LabelledRequest]],
) -> SplitReport:
    classes: dict[SplitName, Counter[str]] = {
        name: Counter(r.attack_class for r in kept[name] if r.is_attack) for name in SPLITS
    }
    all_classes = {r.attack_class for r in records if r.is_attack}
    return SplitReport(
        records=len(records),
        groups=groups,
        dropped=dropped,
        labels=tuple(_label_split(label, way, kept) for label, way in ways.items()),
        missing_classes={name: tuple(sorted(all_classes - set(classes[name]))) for name in SPLITS},
    )


def _label_split(label: str, way: _Way, kept: Mapping[SplitName, Sequence[LabelledRequest]]) -> LabelSplit:
    of_label = {name: [r for r in kept[name] if r.label == label] for name in SPLITS}
    times = {name: [t for r in of_label[name] if (t := r.request.time) is not None] for name in SPLITS}
    return LabelSplit(
        label=label,
        by=way.by,
        why=way.why,
        rows={name: len(of_label[name]) for name in SPLITS},
        sites={name: len({r.site or r.request.site for r in of_label[name]}) for name in SPLITS},
        attack_classes={
            name: dict(sorted(Counter(r.attack_class for r in of_label[name]).items())) if label == ATTACK else {}
            for name in SPLITS
        },
        first_time={name: min(times[name], default=None) for name in SPLITS},
        last_time={name: max(times[name], default=None) for name in SPLITS},
    )


def _require_both_labels(report: SplitReport) -> None:
    empty = [
        f"{name} would hold no {part.label} request" for part in report.labels for name in SPLITS if not part.rows[name]
    ]
    if empty:
        raise InvalidDataset([*empty, "more requests that differ from each other are needed"])


def _identity(record: LabelledRequest) -> str:
    return f"{record.packet_id or record.request.digest()}:{record.label}:{record.attack_class}"


def _without_host(name: str, value: str, host: str) -> str:
    if name.lower() not in ("referer", "origin") or not host or f"//{host}" not in value:
        return value
    return _AUTHORITY.sub("", value, count=1)


def _origin_form(uri: str) -> str:
    stripped = _AUTHORITY.sub("", uri, count=1)
    return uri if stripped == uri else stripped or "/"


def _is_plain_host(value: str) -> bool:
    return re.fullmatch(r"[\w.\-:\[\]]{0,255}", value, re.ASCII) is not None
