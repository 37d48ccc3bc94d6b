"""First-level labels, second-level reviews, their history, and the file that goes to reviewers.

A proposal (by a signature set, the lab, a person) says what a packet is. Somebody else reviews it: agrees, changes
or rejects. A review stands until the next review; a proposal that comes after it waits and changes nothing that is
already reviewed. Nothing is ever overwritten. Only packets whose latest review agreed or changed are for training
(ATLAS AML.M0007).
"""

from secmlops.web_attacks.labels.events import (
    ACTIONS,
    Action,
    Decision,
    LabelCounts,
    LabelError,
    LabelEvent,
    NothingToReview,
    Proposal,
    ProposeCounts,
    ReviewCounts,
    ReviewerIsProposer,
    StaleDecision,
    UnknownPacket,
    count,
    history,
    propose,
    review,
    review_by,
    waiting,
)
from secmlops.web_attacks.labels.review_files import InvalidReviewFile, export_for_review, import_reviews

__all__ = [
    "ACTIONS",
    "Action",
    "Decision",
    "InvalidReviewFile",
    "LabelCounts",
    "LabelError",
    "LabelEvent",
    "NothingToReview",
    "Proposal",
    "ProposeCounts",
    "ReviewCounts",
    "ReviewerIsProposer",
    "StaleDecision",
    "UnknownPacket",
    "count",
    "export_for_review",
    "history",
    "import_reviews",
    "propose",
    "review",
    "review_by",
    "waiting",
]
