"""The events of a label's history: proposals and reviews, appended and never changed."""

import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, Literal, TypeVar

import pyarrow as pa

from secmlops.errors import SecmlopsError
from secmlops.storage.warehouse import Warehouse
from secmlops.web_attacks.packets import create_tables
from secmlops.web_attacks.taxonomy import ATTACK, ATTACK_CLASSES, Label, UnknownLabel, parse_label

Action = Literal["agree", "change", "reject"]
ACTIONS: Final = ("agree", "change", "reject")

MAX_NAME_CHARS: Final = 120
MAX_NOTE_CHARS: Final = 2_000

# A thousand ids of 64 characters stay under ClickHouse's limit of 128 KiB for one parameter.
_IDS_PER_QUERY = 1_000
_ROWS_PER_INSERT = 20_000
_EPOCH = datetime.fromtimestamp(0, UTC)
_T = TypeVar("_T")

_EVENT_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("packet_id", pa.string()),
        ("kind", pa.string()),
        ("proposal_id", pa.string()),
        ("decision", pa.string()),
        ("secu_label1", pa.string()),
        ("secu_label2", pa.string()),
        ("proposed_by", pa.string()),
        ("proposed_at", pa.timestamp("us", tz="UTC")),
        ("reviewed_by", pa.string()),
        ("reviewed_at", pa.timestamp("us", tz="UTC")),
        ("note", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("at", pa.timestamp("us", tz="UTC")),
    ]
)


class LabelError(SecmlopsError):
    """A label or a decision that cannot be taken; nothing of the same call was written.

    Attributes:
        packet_id: the packet it was about; empty when it is about no single packet.
    """

    def __init__(self, packet_id: str, message: str):
        self.packet_id = packet_id
        super().__init__(f"packet {packet_id[:16]}...: {message}" if packet_id else message)


class UnknownPacket(LabelError):
    """A label for a packet that the warehouse does not hold."""

    def __init__(self, packet_id: str):
        super().__init__(packet_id, "not in the warehouse: store it before labelling it")


class NothingToReview(LabelError):
    """A review of a packet that nobody has proposed a label for."""

    def __init__(self, packet_id: str):
        super().__init__(packet_id, "nobody has proposed a label: propose one first")


class ReviewerIsProposer(LabelError):
    """A review by the one who proposed the label.

    Attributes:
        by: the name.
    """

    def __init__(self, packet_id: str, by: str):
        self.by = by
        super().__init__(packet_id, f"{by!r} proposed this label: somebody else must review it")


class StaleDecision(LabelError):
    """A review of a proposal that a newer one has replaced."""

    def __init__(self, packet_id: str):
        super().__init__(packet_id, "a newer proposal has come since this one was shown: export it for review again")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A first-level label.

    Attributes:
        packet_id: the packet.
        label: `normal` or `attack`.
        attack_class: one of `taxonomy.ATTACK_CLASSES` for an attack, else empty.
        note: why, e.g. the rule that matched.
        tags: free marks, e.g. `suspicious_benign`.
    """

    packet_id: str
    label: Label
    attack_class: str = ""
    note: str = ""
    tags: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Decision:
    """A second-level review.

    Attributes:
        packet_id: the packet.
        action: `agree` with the proposal, `change` it, or `reject` it (the packet then has no label).
        label: the right label, for `change` only.
        attack_class: the right class, for `change` to an attack only.
        note: why.
        proposal_id: the proposal that the reviewer saw; empty: whichever stands.
        tags: marks to add to the proposal's.
    """

    packet_id: str
    action: Action
    label: Label | None = None
    attack_class: str = ""
    note: str = ""
    proposal_id: str = ""
    tags: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class ProposeCounts:
    """What one `propose` did.

    Attributes:
        proposed: events written.
        unchanged: proposals that the same proposer had made already and that still stand.
    """

    proposed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """What one `review` did.

    Attributes:
        agreed: labels confirmed; also by a `change` to what was proposed.
        changed: labels replaced by another.
        rejected: labels taken away.
        unchanged: decisions that the same reviewer had made already and that still stand; not written again.
    """

    agreed: int
    changed: int
    rejected: int
    unchanged: int = 0

    @property
    def reviewed(self) -> int:
        """Reviews written."""
        return self.agreed + self.changed + self.rejected


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """One entry of a packet's label history.

    Attributes:
        kind: `proposal` or `review`.
        label: the label after this event; empty after a rejection.
        attack_class: likewise.
        decision: the review's action; empty for a proposal.
        by: who.
        at: when (UTC).
        note: why.
        tags: marks after this event.
        event_id: identity of the event.
        proposal_id: the proposal reviewed; for a proposal its own id.
    """

    kind: Literal["proposal", "review"]
    label: str
    attack_class: str
    decision: str
    by: str
    at: datetime
    note: str
    tags: tuple[str, ...]
    event_id: str
    proposal_id: str


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Where the labels of a warehouse stand, in packets.

    Attributes:
        packets: packets stored.
        reviewed: latest review agreed or changed.
        rejected: latest review rejected the label.
        waiting: a proposal waits for review.
        by_label: reviewed packets per `secu_label1/secu_label2` (`normal` has no second part).
    """

    packets: int
    reviewed: int
    rejected: int
    waiting: int
    by_label: Mapping[str, int]


def propose(warehouse: Warehouse, proposals: Iterable[Proposal], by: str) -> ProposeCounts:
    """Append first-level labels. Proposing again what one has proposed already writes nothing.

    Args:
        warehouse: an open warehouse.
        proposals: at most one per packet counts; of several the last.
        by: who proposes: a person, `lab`, `signatures`.

    Raises:
        UnknownPacket: a packet is not in the warehouse.
        LabelError: an unknown label or class, or a bad name; nothing is written.
    """
    create_tables(warehouse)
    by = _checked_name(by)
    latest = {proposal.packet_id: proposal for proposal in map(_checked_proposal, proposals)}
    events: list[dict[str, Any]] = []
    for ids in _id_chunks(latest):
        _require_packets(warehouse, ids)
        standing = _standing(warehouse, ids)
        events += [
            _proposal_event(latest[packet_id], by, standing.get(packet_id))
            for packet_id in ids
            if not _already_proposed(latest[packet_id], by, standing.get(packet_id))
        ]
    _append(warehouse, events)
    return ProposeCounts(len(events), len(latest) - len(events))


def review(warehouse: Warehouse, decisions: Iterable[Decision], by: str) -> ReviewCounts:
    """Append second-level reviews, all of them or, on any error, none.

    Args:
        warehouse: an open warehouse.
        decisions: one per packet.
        by: the reviewer, who must not be the proposer of any of these labels.

    Raises:
        NothingToReview: a packet has no proposal.
        ReviewerIsProposer: the reviewer proposed one of the labels.
        StaleDecision: the reviewer saw a proposal that has been replaced.
        LabelError: two decisions about one packet, a change without a label, an unknown label or class.
    """
    return review_by(warehouse, ((decision, by) for decision in decisions))


def review_by(warehouse: Warehouse, decisions: Iterable[tuple[Decision, str]]) -> ReviewCounts:
    """Like `review`, for decisions of several reviewers: pairs of a decision and who took it."""
    create_tables(warehouse)
    wanted: dict[str, tuple[Decision, str]] = {}
    for decision, by in decisions:
        if decision.packet_id in wanted:
            raise LabelError(decision.packet_id, "two decisions in one review: keep one")
        wanted[decision.packet_id] = _checked_decision(decision), _checked_name(by)
    events: list[dict[str, Any]] = []
    for ids in _id_chunks(wanted):
        standing = _standing(warehouse, ids)
        for packet_id in ids:
            event = _review_event(*wanted[packet_id], standing.get(packet_id))
            if not _already_reviewed(event, standing[packet_id]):
                events.append(event)
    _append(warehouse, events)
    counts = Counter(event["decision"] for event in events)
    return ReviewCounts(counts["agree"], counts["change"], counts["reject"], len(wanted) - len(events))


def history(warehouse: Warehouse, packet_id: str) -> list[LabelEvent]:
    """Everything that was ever said about a packet's label, oldest first."""
    create_tables(warehouse)
    sql = """
        SELECT kind, secu_label1, secu_label2, decision, if(kind = 'review', reviewed_by, proposed_by) AS who,
               at, note, tags, event_id, proposal_id
        FROM http_packet_labels WHERE packet_id = {packet_id:String} ORDER BY at, event_id
    """
    rows = warehouse.query(sql, {"packet_id": packet_id}).to_pylist()
    return [
        LabelEvent(
            kind=row["kind"],
            label=row["secu_label1"],
            attack_class=row["secu_label2"],
            decision=row["decision"],
            by=row["who"],
            at=row["at"],
            note=row["note"],
            tags=tuple(row["tags"]),
            event_id=row["event_id"],
            proposal_id=row["proposal_id"],
        )
        for row in rows
    ]


def waiting(warehouse: Warehouse) -> dict[str, tuple[str, str]]:
    """Label and attack class of every packet that has a proposal and no reviewed label, by packet id."""
    create_tables(warehouse)
    sql = """
        SELECT packet_id, pending_label1, pending_label2 FROM http_packet_labels_now WHERE pending AND NOT reviewed
    """
    rows = warehouse.query(sql).to_pylist()
    return {row["packet_id"]: (row["pending_label1"], row["pending_label2"]) for row in rows}


def count(warehouse: Warehouse) -> LabelCounts:
    """Where the labels of the warehouse stand."""
    create_tables(warehouse)
    packets = warehouse.query("SELECT count() AS n FROM http_packet_records FINAL").column("n")[0].as_py()
    sql = """
        SELECT countIf(reviewed) AS reviewed, countIf(decision = 'reject') AS rejected, countIf(pending) AS waiting
        FROM http_packet_labels_now
    """
    (totals,) = warehouse.query(sql).to_pylist()
    sql = """
        SELECT secu_label1, secu_label2, count() AS n FROM http_packet_labels_now WHERE reviewed
        GROUP BY secu_label1, secu_label2 ORDER BY secu_label1, secu_label2
    """
    rows = warehouse.query(sql).to_pylist()
    by_label = {"/".join(filter(None, (row["secu_label1"], row["secu_label2"]))): row["n"] for row in rows}
    return LabelCounts(packets, totals["reviewed"], totals["rejected"], totals["waiting"], by_label)


def _standing(warehouse: Warehouse, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    sql = """
        SELECT packet_id, proposal_id, decision, secu_label1, secu_label2, reviewed_by, tags,
               pending, pending_label1, pending_label2, pending_by, pending_at, pending_tags, last_at
        FROM http_packet_labels_now WHERE packet_id IN {ids:Array(String)}
    """
    return {row["packet_id"]: row for row in warehouse.query(sql, {"ids": list(ids)}).to_pylist()}


def _require_packets(warehouse: Warehouse, ids: Sequence[str]) -> None:
    sql = "SELECT DISTINCT packet_id FROM http_packet_records WHERE packet_id IN {ids:Array(String)}"
    known = set(warehouse.query(sql, {"ids": list(ids)}).column("packet_id").to_pylist()) if ids else set()
    for packet_id in ids:
        if packet_id not in known:
            raise UnknownPacket(packet_id)


def _already_proposed(proposal: Proposal, by: str, standing: dict[str, Any] | None) -> bool:
    return standing is not None and (
        proposal.label,
        proposal.attack_class,
        list(proposal.tags),
        by,
    ) == (standing["pending_label1"], standing["pending_label2"], standing["pending_tags"], standing["pending_by"])


def _already_reviewed(event: dict[str, Any], standing: dict[str, Any]) -> bool:
    fields = ("decision", "secu_label1", "secu_label2", "reviewed_by", "tags")
    return not standing["pending"] and all(event[name] == standing[name] for name in fields)


def _proposal_event(proposal: Proposal, by: str, standing: dict[str, Any] | None) -> dict[str, Any]:
    at = _after(standing)
    event_id = uuid.uuid4().hex
    return {
        "event_id": event_id,
        "packet_id": proposal.packet_id,
        "kind": "proposal",
        "proposal_id": event_id,
        "decision": "",
        "secu_label1": proposal.label,
        "secu_label2": proposal.attack_class,
        "proposed_by": by,
        "proposed_at": at,
        "reviewed_by": "",
        "reviewed_at": None,
        "note": proposal.note,
        "tags": list(proposal.tags),
        "at": at,
    }


def _review_event(decision: Decision, by: str, standing: dict[str, Any] | None) -> dict[str, Any]:
    if standing is None or not standing["proposal_id"]:
        raise NothingToReview(decision.packet_id)
    if decision.proposal_id and decision.proposal_id != standing["proposal_id"]:
        raise StaleDecision(decision.packet_id)
    if _same_person(by, standing["pending_by"]):
        raise ReviewerIsProposer(decision.packet_id, by)
    label, attack_class = _label_after(decision, standing)
    as_proposed = (label, attack_class) == (standing["pending_label1"], standing["pending_label2"])
    at = _after(standing)
    return {
        "event_id": uuid.uuid4().hex,
        "packet_id": decision.packet_id,
        "kind": "review",
        "proposal_id": standing["proposal_id"],
        "decision": "agree" if as_proposed else decision.action,
        "secu_label1": label,
        "secu_label2": attack_class,
        "proposed_by": standing["pending_by"],
        "proposed_at": standing["pending_at"],
        "reviewed_by": by,
        "reviewed_at": at,
        "note": decision.note,
        "tags": list(dict.fromkeys([*standing["pending_tags"], *decision.tags])),
        "at": at,
    }


def _label_after(decision: Decision, standing: dict[str, Any]) -> tuple[str, str]:
    if decision.action == "agree":
        return standing["pending_label1"], standing["pending_label2"]
    if decision.action == "change" and decision.label is not None:
        return decision.label, decision.attack_class
    return "", ""


def _after(standing: dict[str, Any] | None) -> datetime:
    """Now, or just after the packet's last event when the clock says otherwise: history must keep its order."""
    now = datetime.now(UTC)
    last = standing["last_at"] if standing else _EPOCH
    return max(now, last + timedelta(microseconds=1))


def _append(warehouse: Warehouse, events: list[dict[str, Any]]) -> None:
    for rows in _chunks(events, _ROWS_PER_INSERT):
        warehouse.insert("http_packet_labels", pa.Table.from_pylist(rows, schema=_EVENT_SCHEMA))


def _checked_proposal(proposal: Proposal) -> Proposal:
    _check_label(proposal.packet_id, proposal.label, proposal.attack_class)
    _check_note(proposal.packet_id, proposal.note, proposal.tags)
    return proposal


def _checked_decision(decision: Decision) -> Decision:
    if decision.action not in ACTIONS:
        raise LabelError(decision.packet_id, f"{decision.action!r} is no decision: use one of {', '.join(ACTIONS)}")
    if decision.action == "change":
        if decision.label is None:
            raise LabelError(decision.packet_id, "a change needs the right label")
        _check_label(decision.packet_id, decision.label, decision.attack_class)
    elif decision.label is not None or decision.attack_class:
        raise LabelError(decision.packet_id, f"only `change` takes a label, not {decision.action!r}")
    _check_note(decision.packet_id, decision.note, decision.tags)
    return decision


def _check_label(packet_id: str, label: str, attack_class: str) -> None:
    try:
        known = parse_label(label) == label
    except UnknownLabel:
        known = False
    if not known:
        raise LabelError(packet_id, f"{str(label)[:40]!r} is no label: use `normal` or `attack`")
    if label == ATTACK and attack_class not in ATTACK_CLASSES:
        raise LabelError(packet_id, f"{attack_class[:40]!r} is no attack class: use one of {', '.join(ATTACK_CLASSES)}")
    if label != ATTACK and attack_class:
        raise LabelError(packet_id, "a normal packet has no attack class: leave it empty")


def _check_note(packet_id: str, note: str, tags: tuple[str, ...]) -> None:
    if len(note) > MAX_NOTE_CHARS:
        raise LabelError(packet_id, f"the note is longer than {MAX_NOTE_CHARS} characters")
    if isinstance(tags, str) or any(not re.fullmatch(r"[a-z0-9_]{1,40}", tag) for tag in tags):
        raise LabelError(packet_id, "tags are up to 40 of a-z, 0-9 and '_' each")


def _checked_name(by: str) -> str:
    name = " ".join(by.split())
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise LabelError("", f"say who labels: a name of 1 to {MAX_NAME_CHARS} printable characters")
    return name


def _same_person(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _id_chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    """Sorted, because the tables are: each query then reads one small range instead of everything."""
    return _chunks(sorted(ids), _IDS_PER_QUERY)
