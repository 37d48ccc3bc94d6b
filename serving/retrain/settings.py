"""What may be retrained, how, on which data, and how often: a YAML file that people review.

```yaml
use_cases:
  web_attacks:
    pipeline: web_attacks
    services: [secmlops/web-attacks]
    data_parameter: captures
    data_uri: s3://windows/{namespace}/{service}
    arguments: {seed: "7"}
    cooldown_s: 21600
```
"""

import re
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from secmlops.errors import SecmlopsError

MAX_SETTINGS_BYTES = 256 * 1024

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
Service = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Value = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00-\x1f]*$")]


class SettingsInvalid(SecmlopsError):
    """Settings that cannot be followed as written.

    Attributes:
        source: the file.
        reason: what is wrong with it.
    """

    def __init__(self, source: str, reason: str):
        self.source, self.reason = source, reason
        super().__init__(f"retraining settings {source} cannot be used ({reason}): correct them first")


class RetrainUseCase(BaseModel):
    """How one use case is retrained.

    Attributes:
        pipeline: the pipeline's name.
        services: inference services whose alerts count, as `namespace/name`.
        data_parameter: the pipeline's parameter that takes the data.
        data_uri: URI of the window's data; `{namespace}` and `{service}` stand for the service's.
        arguments: further parameters of the pipeline.
        cooldown_s: shortest time from the beginning of one retraining to that of the next.
        flap_limit: how many times an alert may begin within `flap_window_s`; once more, and it starts nothing.
        flap_window_s: over which its beginnings are counted.
        max_alert_age_s: how long an alert may have been firing; older ones are taken for a replay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: Identifier
    services: Annotated[tuple[Service, ...], Field(min_length=1)]
    data_parameter: Identifier
    data_uri: Annotated[Value, StringConstraints(min_length=1)]
    arguments: dict[Identifier, Value] = Field(default_factory=dict)
    cooldown_s: Seconds = 6 * 3600
    flap_limit: Annotated[int, Field(ge=1)] = 3
    flap_window_s: Seconds = 24 * 3600
    max_alert_age_s: Seconds = 7 * 24 * 3600

    @field_validator("data_uri")
    @classmethod
    def _known_places(cls, value: str) -> str:
        unknown = set(re.findall(r"\{([^}]*)\}", value)) - {"namespace", "service"}
        if unknown:
            raise ValueError(f"{{{min(unknown)}}} stands for nothing: only {{namespace}} and {{service}} do")
        return value

    def parameters(self, service: str) -> dict[str, str]:
        """The pipeline's parameters for the data of one of `services`."""
        namespace, _, name = service.partition("/")
        uri = self.data_uri.replace("{namespace}", namespace).replace("{service}", name)
        return {**self.arguments, self.data_parameter: uri}


class RetrainSettings(BaseModel):
    """All use cases that may be retrained, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    use_cases: Annotated[dict[Identifier, RetrainUseCase], Field(min_length=1)]


def load_settings(path: str | Path) -> RetrainSettings:
    """Read settings.

    Raises:
        SettingsInvalid: absent, too large, not YAML, or not settings.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_SETTINGS_BYTES + 1)
    except OSError as error:
        raise SettingsInvalid(str(path), f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_SETTINGS_BYTES:
        raise SettingsInvalid(str(path), f"larger than {MAX_SETTINGS_BYTES:,} bytes")
    try:
        return RetrainSettings.model_validate(yaml.safe_load(data))
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsInvalid(str(path), " ".join(str(error).split())[:300]) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsInvalid(str(path), f"{place}: {first['msg']}") from None
