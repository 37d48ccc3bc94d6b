import pytest

from secmlops.storage.warehouse import open_warehouse
from secmlops.web_attacks import labels, packets
from secmlops.web_attacks.labels import (
    Decision,
    LabelError,
    NothingToReview,
    Proposal,
    ReviewerIsProposer,
    StaleDecision,
    UnknownPacket,
)
from secmlops.web_attacks.request import HttpRequest

REQUESTS = [HttpRequest("GET", f"/{n}", time=float(n)) for n in range(6)]
IDS = [request.digest() for request in REQUESTS]


@pytest.fixture
def house(tmp_path):
    with open_warehouse(f"chdb://{tmp_path}/house") as opened:
        packets.store(opened, REQUESTS, "trace")
        yield opened


def standing(house, packet_id):
    found = {r.packet_id: r for r in packets.export(house, reviewed_only=False)}.get(packet_id)
    return found and (found.label, found.attack_class, found.reviewed)


def test_history_keeps_everything_in_order(house):
    labels.propose(house, [Proposal(IDS[0], "attack", "sqli", "union select")], "signatures")
    labels.review(house, [Decision(IDS[0], "change", "normal", note="a book review")], "ana")
    labels.propose(house, [Proposal(IDS[0], "attack", "xss")], "bob")
    labels.review(house, [Decision(IDS[0], "reject", note="cannot tell")], "ana")
    events = labels.history(house, IDS[0])
    assert [(e.kind, e.label, e.attack_class, e.decision, e.by) for e in events] == [
        ("proposal", "attack", "sqli", "", "signatures"),
        ("review", "normal", "", "change", "ana"),
        ("proposal", "attack", "xss", "", "bob"),
        ("review", "", "", "reject", "ana"),
    ]
    assert [e.at for e in events] == sorted(e.at for e in events)
    assert len({e.at for e in events}) == 4
    assert events[1].proposal_id == events[0].event_id
    assert events[1].note == "a book review"


def test_a_reviewed_label_stands_against_later_proposals(house):
    labels.propose(house, [Proposal(IDS[0], "attack", "sqli")], "signatures")
    labels.review(house, [Decision(IDS[0], "agree")], "ana")
    labels.propose(house, [Proposal(IDS[0], "normal")], "mallory")
    assert standing(house, IDS[0]) == ("attack", "sqli", True)
    assert labels.count(house).waiting == 1
    labels.review(house, [Decision(IDS[0], "agree")], "ana")
    assert standing(house, IDS[0]) == ("normal", "", True)


def test_a_rejected_label_is_gone_until_something_new_is_proposed(house):
    labels.propose(house, [Proposal(IDS[0], "attack", "sqli")], "signatures")
    labels.review(house, [Decision(IDS[0], "reject")], "ana")
    assert standing(house, IDS[0]) is None
    labels.propose(house, [Proposal(IDS[0], "normal")], "bob")
    assert standing(house, IDS[0]) == ("normal", "", False)
    assert list(packets.export(house)) == []


def test_repeating_oneself_writes_nothing(house):
    proposal = Proposal(IDS[0], "attack", "sqli")
    assert labels.propose(house, [proposal], "lab").proposed == 1
    assert labels.propose(house, [proposal], "lab") == labels.ProposeCounts(0, 1)
    assert labels.review(house, [Decision(IDS[0], "agree")], "ana").agreed == 1
    assert labels.review(house, [Decision(IDS[0], "agree")], "ana") == labels.ReviewCounts(0, 0, 0, 1)
    assert len(labels.history(house, IDS[0])) == 2
    # Somebody else's word for the same label is news.
    assert labels.propose(house, [proposal], "bob").proposed == 1


def test_a_change_to_what_was_proposed_is_agreement(house):
    labels.propose(house, [Proposal(IDS[0], "attack", "sqli")], "signatures")
    done = labels.review(house, [Decision(IDS[0], "change", "attack", "sqli")], "ana")
    assert (done.agreed, done.changed) == (1, 0)


@pytest.mark.parametrize("by", ["signatures", "SIGNATURES", "  signatures "])
def test_nobody_reviews_their_own_proposal(house, by):
    labels.propose(house, [Proposal(i, "normal") for i in IDS[:2]], "signatures")
    labels.propose(house, [Proposal(IDS[1], "attack", "xss")], "ana")
    with pytest.raises(ReviewerIsProposer) as caught:
        labels.review(house, [Decision(IDS[1], "agree"), Decision(IDS[0], "agree")], by)
    assert caught.value.packet_id == IDS[0]
    assert labels.count(house).reviewed == 0  # all or nothing


def test_a_review_needs_a_proposal(house):
    with pytest.raises(NothingToReview):
        labels.review(house, [Decision(IDS[0], "agree")], "ana")


def test_a_proposal_needs_its_packet(house):
    with pytest.raises(UnknownPacket) as caught:
        labels.propose(house, [Proposal(IDS[0], "normal"), Proposal("0" * 64, "normal")], "lab")
    assert caught.value.packet_id == "0" * 64
    assert labels.count(house).waiting == 0


def test_a_decision_about_a_replaced_proposal_is_stale(house):
    labels.propose(house, [Proposal(IDS[0], "normal")], "signatures")
    seen = labels.history(house, IDS[0])[0].event_id
    labels.propose(house, [Proposal(IDS[0], "attack", "xss")], "signatures")
    with pytest.raises(StaleDecision):
        labels.review(house, [Decision(IDS[0], "agree", proposal_id=seen)], "ana")


@pytest.mark.parametrize(
    "proposal",
    [
        Proposal(IDS[0], "attack"),  # an attack has a class
        Proposal(IDS[0], "attack", "unheard-of"),
        Proposal(IDS[0], "normal", "sqli"),  # normal traffic has none
        Proposal(IDS[0], "malicious", "sqli"),  # an alias is for readers of files, not for the warehouse
        Proposal(IDS[0], "", ""),
        Proposal(IDS[0], "normal", note="x" * 2_001),
        Proposal(IDS[0], "normal", tags=("Not A Tag",)),
        Proposal(IDS[0], "normal", tags="text"),
    ],
)
def test_bad_proposals_are_refused(house, proposal):
    with pytest.raises(LabelError):
        labels.propose(house, [Proposal(IDS[1], "normal"), proposal], "lab")
    assert labels.count(house).waiting == 0


@pytest.mark.parametrize(
    "decision",
    [
        Decision(IDS[0], "approve"),
        Decision(IDS[0], "change"),  # to what?
        Decision(IDS[0], "change", "attack"),
        Decision(IDS[0], "agree", "attack", "sqli"),  # a label belongs to a change
        Decision(IDS[0], "reject", attack_class="sqli"),
    ],
)
def test_bad_decisions_are_refused(house, decision):
    labels.propose(house, [Proposal(IDS[0], "normal")], "lab")
    with pytest.raises(LabelError):
        labels.review(house, [decision], "ana")


def test_two_decisions_about_one_packet_are_refused(house):
    labels.propose(house, [Proposal(IDS[0], "normal")], "lab")
    with pytest.raises(LabelError, match="two decisions"):
        labels.review(house, [Decision(IDS[0], "agree"), Decision(IDS[0], "reject")], "ana")


@pytest.mark.parametrize("by", ["", "   ", "x" * 121, "evil\u202ename", "nul\0"])
def test_a_name_is_needed(house, by):
    with pytest.raises(LabelError):
        labels.propose(house, [Proposal(IDS[0], "normal")], by)


def test_counts_say_where_the_labels_stand(house):
    labels.propose(house, [Proposal(i, "attack", "xss") for i in IDS[:4]], "lab")
    labels.review(
        house, [Decision(IDS[0], "agree"), Decision(IDS[1], "change", "normal"), Decision(IDS[2], "reject")], "ana"
    )
    found = labels.count(house)
    assert (found.packets, found.reviewed, found.rejected, found.waiting) == (6, 2, 1, 1)
    assert dict(found.by_label) == {"attack/xss": 1, "normal": 1}


def test_tags_of_proposer_and_reviewer_add_up(house):
    labels.propose(house, [Proposal(IDS[0], "normal", tags=("undecided",))], "lab")
    labels.review(house, [Decision(IDS[0], "agree", tags=("suspicious_benign", "undecided"))], "ana")
    (found,) = packets.export(house)
    assert found.tags == ("undecided", "suspicious_benign")


def test_a_clock_that_goes_back_does_not_reorder_history(house, monkeypatch):
    from secmlops.web_attacks.labels import events

    labels.propose(house, [Proposal(IDS[0], "attack", "xss")], "lab")

    class Earlier(events.datetime):
        @classmethod
        def now(cls, tz=None):
            return events.datetime(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(events, "datetime", Earlier)
    labels.review(house, [Decision(IDS[0], "agree")], "ana")
    assert [e.kind for e in labels.history(house, IDS[0])] == ["proposal", "review"]
    assert standing(house, IDS[0]) == ("attack", "xss", True)


def test_many_labels_pass(house):
    many = [HttpRequest("GET", f"/many/{n}", time=float(n)) for n in range(2_500)]
    packets.store(house, many, "many")
    ids = [request.digest() for request in many]
    assert labels.propose(house, [Proposal(i, "normal") for i in ids], "lab").proposed == 2_500
    assert labels.review(house, [Decision(i, "agree") for i in ids], "ana").agreed == 2_500
    assert labels.count(house).reviewed == 2_500
