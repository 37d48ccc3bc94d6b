"""What can become of a notification: a closed set, the label of a counter and the first word of an audit record."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Only `STARTED` starts anything."""

    STARTED = "started"
    START_FAILED = "start_failed"
    """The starter could not start it; Alertmanager is told to come again."""
    BUSY = "busy"
    """Another retraining is under way."""
    COOLING_DOWN = "cooling_down"
    """The last retraining of this use case began too short a while ago."""
    FLAPPING = "flapping"
    """The alert came and went too often."""
    REPEATED = "repeated"
    """The same alerts have started a retraining before, or were resolved since."""
    STALE = "stale"
    """It says that it began too long ago, or in the future."""
    RESOLVED = "resolved"
    NOT_ACTIONABLE = "not_actionable"
    """No firing alert in it asks for a retraining."""
    UNKNOWN_USE_CASE = "unknown_use_case"
    UNKNOWN_SERVICE = "unknown_service"
    UNAUTHORIZED = "unauthorized"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_JSON = "not_json"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    OVERLOADED = "overloaded"
    MALFORMED = "malformed"
    NO_AUDIT = "no_audit"
    """The audit log cannot be written, and nothing is started that is not recorded."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of the alerts of one service in one notification.

    Attributes:
        outcome: one of the closed set.
        sentence: the same for a person.
        use_case: the use case, if it is a known one.
        run_id: the retraining that was started.
    """

    outcome: Outcome
    sentence: str
    use_case: str = ""
    run_id: str = ""

    def document(self) -> dict[str, str]:
        """As JSON, without empty fields."""
        fields = {
            "outcome": self.outcome.value,
            "sentence": self.sentence,
            "use_case": self.use_case,
            "run_id": self.run_id,
        }
        return {name: value for name, value in fields.items() if value}
