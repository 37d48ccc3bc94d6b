"""Alertmanager's webhook payload, version 4, as far as it is used here.

Source: Prometheus documentation, "Configuration: webhook_config". Fields that are not named here are ignored, because
Alertmanager adds some with time; those that are named must have the right type and a bounded size.
"""

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

RETRAIN = "retrain"
"""Value of the label `action` of an alert that asks for a retraining."""

MAX_ALERTS = 256

Name = Annotated[str, StringConstraints(max_length=200)]
Text = Annotated[str, StringConstraints(max_length=1000)]
Labels = Annotated[dict[Name, Text], Field(max_length=64)]


class Episode(NamedTuple):
    """One time that one alert fires: from this moment until it is resolved.

    Attributes:
        group_key: Alertmanager's key of the alert's group.
        fingerprint: Alertmanager's digest of the alert's labels.
        starts_at: when it began to fire.
    """

    group_key: str
    fingerprint: str
    starts_at: datetime


class Alert(BaseModel):
    """One alert of a notification.

    Attributes:
        status: whether it fires now.
        labels: its labels; `action`, `use_case`, `namespace` and `service` are read.
        starts_at: when it began to fire.
        fingerprint: digest of its labels, hexadecimal.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Literal["firing", "resolved"]
    labels: Labels
    starts_at: AwareDatetime = Field(alias="startsAt")
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,64}$")]

    @property
    def actionable(self) -> bool:
        """Whether it asks for a retraining while it fires."""
        return self.labels.get("action") == RETRAIN

    @property
    def subject(self) -> tuple[str, str]:
        """The use case, and the inference service as `namespace/name`."""
        return self.labels.get("use_case", ""), f"{self.labels.get('namespace', '')}/{self.labels.get('service', '')}"


class Notification(BaseModel):
    """One call of the webhook: a group of alerts.

    Attributes:
        version: of the payload.
        group_key: Alertmanager's key of the group.
        status: `firing` while one of the alerts does.
        alerts: at least one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal["4"]
    group_key: Annotated[str, StringConstraints(min_length=1, max_length=4000)] = Field(alias="groupKey")
    status: Literal["firing", "resolved"]
    alerts: Annotated[tuple[Alert, ...], Field(min_length=1, max_length=MAX_ALERTS)]

    def episode(self, alert: Alert) -> Episode:
        """What `alert` is an episode of."""
        return Episode(self.group_key, alert.fingerprint, alert.starts_at)
