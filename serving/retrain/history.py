"""What the service remembers: it is what the audit log says, so a restart changes nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from serving.retrain.alerts import Episode


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A retraining that has not ended, as far as is known.

    Attributes:
        name: its order's name.
        use_case: its use case.
        run_id: the starter's id; empty when the service ended between starting it and learning its id.
    """

    name: str
    use_case: str
    run_id: str = ""


@dataclass
class History:
    """The state after every record so far.

    Attributes:
        answered: episodes that a retraining was started for.
        resolved: episodes that are over.
        onsets: when each alert (group key and fingerprint) began, every time.
        last_start: when the last retraining of a use case began.
        last_success: when the last successful one ended.
        run: the one under way.
    """

    answered: set[Episode] = field(default_factory=set)
    resolved: set[Episode] = field(default_factory=set)
    onsets: dict[tuple[str, str], set[datetime]] = field(default_factory=dict)
    last_start: dict[str, datetime] = field(default_factory=dict)
    last_success: dict[str, datetime] = field(default_factory=dict)
    run: OpenRun | None = None

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in one record of the audit log."""
        episodes = [Episode(e[0], e[1], datetime.fromisoformat(e[2])) for e in record.get("episodes", ())]
        at = datetime.fromisoformat(record["at"])
        match record["kind"]:
            case "notification":
                for episode in episodes:
                    self.onsets.setdefault(episode[:2], set()).add(episode.starts_at)
            case "resolved":
                self.resolved.update(episodes)
            case "starting":
                self.answered.update(episodes)
                self.last_start[record["use_case"]] = at
                self.run = OpenRun(record["name"], record["use_case"])
            case "started":
                self.run = OpenRun(record["name"], record["use_case"], record["run_id"])
            case "start_failed":
                self.answered.difference_update(episodes)
                self._restore_start(record)
                self.run = None
            case "finished":
                if record["state"] == "succeeded":
                    self.last_success[record["use_case"]] = at
                self.run = None

    def began_within(self, episode: Episode, window_s: float, now: datetime) -> int:
        """How many times the alert of this episode began within the last `window_s` seconds."""
        earliest = now - timedelta(seconds=window_s)
        return sum(earliest <= onset for onset in self.onsets.get(episode[:2], ()))

    def forget(self, before: datetime) -> None:
        """Let go of episodes that began earlier, which keeps memory within bounds."""
        self.answered = {episode for episode in self.answered if episode.starts_at >= before}
        self.resolved = {episode for episode in self.resolved if episode.starts_at >= before}
        kept = {alert: {onset for onset in onsets if onset >= before} for alert, onsets in self.onsets.items()}
        self.onsets = {alert: onsets for alert, onsets in kept.items() if onsets}

    def _restore_start(self, record: Mapping[str, Any]) -> None:
        """What did not start does not cool down either."""
        earlier = record.get("last_start")
        if earlier is None:
            self.last_start.pop(record["use_case"], None)
        else:
            self.last_start[record["use_case"]] = datetime.fromisoformat(earlier)


def as_json(episodes: Iterable[Episode]) -> list[list[str]]:
    """Episodes as an audit record holds them."""
    return [[e.group_key, e.fingerprint, e.starts_at.isoformat()] for e in sorted(episodes)]
