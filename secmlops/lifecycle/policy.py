"""The gate's policy: which measured value must reach which bound, and why.

A policy is a YAML file that people review and version:

```yaml
name: web-attacks
version: 1.0.0
use_case: web_attacks
operating_point:
  max_false_positive_rate: 0.01
requirements:
  - metric: tpr_at_1pct_fpr
    at_least: 0.95
    why: attacks must be seen at a false-alarm rate that people can live with
    risk: attacks pass unseen
    mitigation: AML.M0008
```

It is read strictly, because a policy that is misread silently lets models through: unknown or repeated keys,
metrics named twice, both bounds or none, NaN and infinite bounds, numbers written as text and mitigations that
MITRE ATLAS does not have are all refused.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from secmlops.errors import SecmlopsError
from secmlops.lifecycle.mitigations import MITIGATIONS, UnknownMitigation

MAX_POLICY_BYTES = 256 * 1024

MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
Share = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]
Bound = Annotated[float, Field(strict=True, allow_inf_nan=False)]

Subject = Literal["model", "detectors"]
"""What a requirement is of."""

AnyPolicy = TypeVar("AnyPolicy", bound=BaseModel)

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class PolicyInvalid(SecmlopsError):
    """A policy that cannot be followed as written.

    Attributes:
        source: where it was read from.
        problems: each problem, with the place in the file.
    """

    def __init__(self, source: str, problems: list[str]):
        self.source = source
        self.problems = problems
        super().__init__(f"policy {source} cannot be used, correct it first: {'; '.join(problems)}")


class Requirement(BaseModel):
    """One line of a policy; exactly one of `at_least` and `at_most` is given.

    Attributes:
        metric: name of the measured value.
        at_least: smallest value that passes.
        at_most: largest value that passes.
        why: what the bound is for, for the people who read the verdict.
        risk: what happens when the bound does not hold.
        mitigation: the MITRE ATLAS mitigation it is evidence for.
        of: what is measured: the model, or the detectors beside it.
    """

    model_config = _STRICT

    metric: MetricName
    at_least: Bound | None = None
    at_most: Bound | None = None
    why: Sentence
    risk: Sentence
    mitigation: str
    of: Subject = "model"

    @field_validator("mitigation")
    @classmethod
    def _known_mitigation(cls, value: str) -> str:
        if value not in MITIGATIONS:
            raise ValueError(str(UnknownMitigation(value)))
        return value

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"{self.metric}: give exactly one of at_least and at_most")
        return self


class Policy(BaseModel):
    """A use case's requirements, versioned.

    Attributes:
        name: the policy's name.
        version: its version, `major.minor.patch`.
        use_case: the use case's folder name, e.g. `web_attacks`.
        operating_point: how the model is to be operated: named numbers in (0, 1), such as `max_false_positive_rate`
            or `eps`; each use case asks for those it needs.
        requirements: at least one; each metric once.
    """

    model_config = _STRICT

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
    version: Annotated[str, StringConstraints(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")]
    use_case: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
    operating_point: Annotated[dict[MetricName, Share], Field(min_length=1)]
    requirements: Annotated[list[Requirement], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _each_metric_once(self) -> Self:
        metrics = [requirement.metric for requirement in self.requirements]
        repeated = sorted({metric for metric in metrics if metrics.count(metric) > 1})
        if repeated:
            raise ValueError(f"metrics required twice: {', '.join(repeated)}")
        return self

    def operating(self, name: str) -> float:
        """The number of that name in the operating point.

        Raises:
            PolicyInvalid: the policy does not give it.
        """
        if name not in self.operating_point:
            raise PolicyInvalid(self.name, [f"operating_point: {name} is missing"])
        return self.operating_point[name]

    def requirements_of(self, subject: Subject) -> list[Requirement]:
        """The requirements of the model, or of the detectors beside it.

        Raises:
            PolicyInvalid: there are none, and nothing can be judged.
        """
        chosen = [requirement for requirement in self.requirements if requirement.of == subject]
        if not chosen:
            raise PolicyInvalid(self.name, [f"requirements: none is of the {subject}"])
        return chosen

    def digest(self) -> str:
        """`sha256:...` over the policy's content: independent of comments and layout of its file."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def load_policy(path: str | Path) -> Policy:
    """Read a policy file.

    Raises:
        PolicyInvalid: absent, larger than `MAX_POLICY_BYTES`, not YAML, or not a policy; all problems are listed.
    """
    return parse_policy(read_policy(path), str(path))


def read_policy(path: str | Path) -> bytes:
    """The bytes of a policy file, of whatever kind.

    Raises:
        PolicyInvalid: absent, or larger than `MAX_POLICY_BYTES`.
    """
    source = str(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise PolicyInvalid(source, [f"cannot be read ({error.strerror})"]) from error
    if len(data) > MAX_POLICY_BYTES:
        raise PolicyInvalid(source, [f"is larger than {MAX_POLICY_BYTES} bytes"])
    return data


def parse_policy(data: bytes, source: str = "<bytes>") -> Policy:
    """Read a policy from the bytes of its file.

    Raises:
        PolicyInvalid: see `load_policy`.
    """
    return parse_strictly(Policy, data, source)


def parse_strictly(kind: type[AnyPolicy], data: bytes, source: str) -> AnyPolicy:
    """Read a policy of this kind from the bytes of its file.

    Raises:
        PolicyInvalid: not plain YAML, or not such a policy; all problems are listed.
    """
    try:
        content = yaml.load(data, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PolicyInvalid(source, [_one_line(f"is not plain YAML ({error})")]) from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise PolicyInvalid(source, _problems(error)) from error


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML in which a key is said once and nothing is said by reference."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*name) is used: write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        if repeated:
            raise yaml.YAMLError(f"a key is given twice: {', '.join(repeated)}")
        return super().construct_mapping(node, deep)


def _problems(error: ValidationError) -> list[str]:
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(part) for part in item["loc"])
        found.append(_one_line(f"{place}: {item['msg']}" if place else item["msg"]))
    return found


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:400]
