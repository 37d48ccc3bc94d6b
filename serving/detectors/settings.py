"""How much a detector service may hold: the bounds of its memory, each with a command-line flag of its name."""

import argparse
from collections.abc import Sequence
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MIB: Final = 1024 * 1024


class Settings(BaseModel):
    """Bounds of one detector service, beside `serving.limits`.

    Attributes:
        queue_events: events acknowledged and not yet read; one more is dropped and counted.
        queue_bytes: their bodies.
        window_rows: rows of a window; a full one is judged and begun anew. 0: what the detector's card says under
            `window_rows`, for its false alarms were counted with that; or 500.
        stream_rows: rows after which a detector that judges row by row reports.
        window_bytes: all windows together; it bounds the services too.
        max_services: inference services that have a window.
        max_ids: events remembered, so that a replayed one counts once; at least half of so many.
        max_pending: events that wait for their other half.
        pending_bytes: their bodies.
        ttl_s: how long one waits.
        max_features: numbers in a row.
        batch_rows: rows that are put into a window together.
        tick_s: how long rows wait for a batch to fill.
        save_every_s: between two writings of the state.
        flush_s: at shutdown, for what is queued.
        watch: `namespace/service` of each service that is watched; empty: any, up to `max_services`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    queue_events: int = Field(20_000, ge=1)
    queue_bytes: int = Field(64 * MIB, ge=1)
    window_rows: int = Field(0, ge=0, le=1_000_000)
    stream_rows: int = Field(32, ge=1)
    window_bytes: int = Field(256 * MIB, ge=1)
    max_services: int = Field(32, ge=1, le=1000)
    max_ids: int = Field(200_000, ge=2)
    max_pending: int = Field(10_000, ge=1)
    pending_bytes: int = Field(64 * MIB, ge=1)
    ttl_s: float = Field(30.0, gt=0)
    max_features: int = Field(16_384, ge=1)
    batch_rows: int = Field(64, ge=1)
    tick_s: float = Field(0.25, gt=0)
    save_every_s: float = Field(10.0, gt=0)
    flush_s: float = Field(10.0, gt=0)
    watch: tuple[str, ...] = ()

    @classmethod
    def add_flags(cls, parser: argparse.ArgumentParser) -> None:
        """Add one flag per bound; `--watch` may be given several times."""
        group = parser.add_argument_group("windows")
        for name, field in cls.model_fields.items():
            if name == "watch":
                group.add_argument("--watch", action="append", default=[], metavar="NAMESPACE/SERVICE")
            else:
                group.add_argument(f"--{name}", type=type(field.default), default=field.default)

    @classmethod
    def from_flags(cls, flags: argparse.Namespace) -> Self:
        """The bounds that `add_flags` put on the command line; ends the process where one is none."""
        try:
            return cls.model_validate({name: getattr(flags, name) for name in cls.model_fields})
        except ValidationError as error:
            raise SystemExit("; ".join(_told(each["loc"], each["msg"]) for each in error.errors())) from None


def _told(place: Sequence[Any], message: str) -> str:
    return f"--{'.'.join(map(str, place))}: {message}"
