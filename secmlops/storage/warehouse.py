"""The warehouse: one SQL dialect (ClickHouse) over two engines, embedded chdb or a ClickHouse server.

Both engines get the same statements with the same `{name:Type}` placeholders, and data goes in and out as Arrow
streams. The embedded engine allows one folder per process and one process per folder, and a process that forks
after opening it hangs: start workers with the `spawn` method.

Never hand text that came from outside to `execute` or `query` as SQL: the embedded engine has no users and roles,
and its table functions reach files and the network. Values belong into `params`.
"""

import io
import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa

from secmlops.errors import SecmlopsError
from secmlops.storage.uri import ChdbUri, ClickHouseUri, parse_uri

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SETTINGS = {"output_format_arrow_string_as_string": 0}
_PASSWORD_VARIABLE = "CLICKHOUSE_PASSWORD"  # noqa: S105 - a variable's name


class WarehouseError(SecmlopsError):
    """The engine refused a statement or could not be reached.

    Attributes:
        detail: the engine's own message, for the log.
    """

    def __init__(self, message: str, detail: str = ""):
        self.detail = detail
        super().__init__(f"{message}: {detail}" if detail else message)


class WarehouseBusy(WarehouseError):
    """The embedded warehouse is open elsewhere.

    Attributes:
        folder: the warehouse's folder.
    """

    def __init__(self, folder: str, detail: str):
        self.folder = folder
        super().__init__(
            f"the warehouse in {folder} cannot be opened: another process has it open, or this process has another "
            f"warehouse open; close that one first or use a ClickHouse server",
            detail,
        )


class NotText(WarehouseError):
    """A text column of a result holds bytes that are not UTF-8.

    Attributes:
        column: the column's name.
    """

    def __init__(self, column: str):
        self.column = column
        super().__init__(f"column {column!r} holds bytes that are not UTF-8: name it in `binary`")


class Warehouse(Protocol):
    """What both engines do. Use it as a context manager; it is closed at the end."""

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> None:
        """Run a statement that returns nothing.

        Args:
            sql: one statement; values as `{name:Type}`.
            params: the values.

        Raises:
            WarehouseError: the engine refused it.
        """
        ...

    def query(self, sql: str, params: Mapping[str, Any] | None = None, *, binary: tuple[str, ...] = ()) -> pa.Table:
        """Run a query and return the whole result.

        Args:
            sql: one query; values as `{name:Type}`.
            params: the values.
            binary: result columns to leave as bytes; all other strings come as text.

        Raises:
            NotText: a column outside `binary` holds bytes that are not UTF-8.
            WarehouseError: the engine refused it.
        """
        ...

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, binary: tuple[str, ...] = ()
    ) -> Iterator[pa.RecordBatch]:
        """Like `query`, a batch of rows at a time; other statements may run before the stream ends."""
        ...

    def insert(self, table: str, data: pa.Table | pa.RecordBatch) -> None:
        """Append rows; columns are matched by name.

        Raises:
            WarehouseError: unknown table or column, or a value that does not fit.
        """
        ...

    def close(self) -> None:
        """Release the engine. A second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_warehouse(uri: str) -> Warehouse:
    """Open the warehouse at a URI.

    Args:
        uri: `chdb:///folder` (created when absent) or `clickhouse://user@host:port/db`. The server is reached over
            TLS with a verified certificate unless the URI says `?secure=false`; its password comes from
            `CLICKHOUSE_PASSWORD`.

    Raises:
        InvalidUri: not a URI of this kind.
        WarehouseBusy: the embedded warehouse is open in another process, or this process has another one open.
        WarehouseError: the server cannot be reached, or the password variable is missing.
    """
    place = parse_uri(uri)
    if isinstance(place, ChdbUri):
        return EmbeddedWarehouse(place.folder)
    if isinstance(place, ClickHouseUri):
        return ServerWarehouse(place)
    raise WarehouseError(f"{place} does not name a warehouse: use chdb:///folder or clickhouse://user@host:port/db")


class _ContextManager:
    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EmbeddedWarehouse(_ContextManager):
    """chdb in a folder of this machine."""

    def __init__(self, folder: str | Path):
        self._folder = str(Path(folder).absolute())
        Path(self._folder).mkdir(parents=True, exist_ok=True)
        self._session = self._connect()
        self._lock = threading.Lock()

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> None:
        """See `Warehouse.execute`."""
        self._run(sql, params)

    def query(self, sql: str, params: Mapping[str, Any] | None = None, *, binary: tuple[str, ...] = ()) -> pa.Table:
        """See `Warehouse.query`."""
        data = self._run(sql, params)
        if not data:
            return pa.table({})
        return _as_text(pa.ipc.open_stream(data).read_all(), binary)

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, binary: tuple[str, ...] = ()
    ) -> Iterator[pa.RecordBatch]:
        """See `Warehouse.stream`."""
        # Any other statement silently ends a stream of the same session, so each stream has its own.
        session = self._connect()
        try:
            with _engine_errors(), session.send_query(sql, "ArrowStream", params=_bound(params)) as chunks:
                for chunk in chunks:
                    yield from _as_text(pa.ipc.open_stream(chunk.bytes()).read_all(), binary).to_batches()
        finally:
            session.close()

    def insert(self, table: str, data: pa.Table | pa.RecordBatch) -> None:
        """See `Warehouse.insert`."""
        if data.num_rows == 0:
            return
        with self._lock, _engine_errors(), self._open().send_insert(_insert_into(table, data), "ArrowStream") as target:
            target.append(_arrow_stream(data))
            target.finish()

    def close(self) -> None:
        """See `Warehouse.close`."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _run(self, sql: str, params: Mapping[str, Any] | None) -> bytes:
        with self._lock, _engine_errors():
            return self._open().query(sql, "ArrowStream", params=_bound(params)).bytes()

    def _open(self) -> Any:
        if self._session is None:
            raise WarehouseError(f"the warehouse in {self._folder} is closed")
        return self._session

    def _connect(self) -> Any:
        from chdb import session

        try:
            opened = session.Session(self._folder)
        except RuntimeError as error:
            raise WarehouseBusy(self._folder, str(error)) from None
        for name, value in _SETTINGS.items():
            opened.query(f"SET {name} = {value}")
        return opened


class ServerWarehouse(_ContextManager):
    """A ClickHouse server over HTTP(S)."""

    def __init__(self, place: ClickHouseUri):
        import clickhouse_connect

        password = os.environ.get(_PASSWORD_VARIABLE)
        if password is None:
            raise WarehouseError(f"set {_PASSWORD_VARIABLE} to the password of {place.user} at {place.host}")
        with _engine_errors():
            self._client = clickhouse_connect.get_client(
                interface="https" if place.secure else "http",
                host=place.host,
                port=place.port,
                username=place.user,
                password=password,
                database=place.database,
                verify=True,
                autogenerate_session_id=False,
            )

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> None:
        """See `Warehouse.execute`."""
        with _engine_errors():
            self._client.command(sql, parameters=dict(params or {}))

    def query(self, sql: str, params: Mapping[str, Any] | None = None, *, binary: tuple[str, ...] = ()) -> pa.Table:
        """See `Warehouse.query`."""
        with _engine_errors():
            data = self._client.raw_query(sql, parameters=dict(params or {}), settings=_SETTINGS, fmt="ArrowStream")
        if not data:
            return pa.table({})
        return _as_text(pa.ipc.open_stream(data).read_all(), binary)

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, binary: tuple[str, ...] = ()
    ) -> Iterator[pa.RecordBatch]:
        """See `Warehouse.stream`."""
        with (
            _engine_errors(),
            self._client.raw_stream(
                sql, parameters=dict(params or {}), settings=_SETTINGS, fmt="ArrowStream"
            ) as answer,
        ):
            for batch in pa.ipc.open_stream(answer):
                yield from _as_text(pa.Table.from_batches([batch]), binary).to_batches()

    def insert(self, table: str, data: pa.Table | pa.RecordBatch) -> None:
        """See `Warehouse.insert`."""
        if data.num_rows == 0:
            return
        with _engine_errors():
            self._client.raw_insert(
                _checked(table), data.schema.names, insert_block=_arrow_stream(data), fmt="ArrowStream"
            )

    def close(self) -> None:
        """See `Warehouse.close`."""
        self._client.close()


class _engine_errors:
    """Turn the engines' own exceptions into `WarehouseError`."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, SecmlopsError | GeneratorExit) or not isinstance(error, Exception):
            return
        if _is_engine_error(error):
            raise WarehouseError("the warehouse refused a statement", str(error).strip()) from None


def _is_engine_error(error: Exception) -> bool:
    module = type(error).__module__
    return isinstance(error, RuntimeError | pa.ArrowInvalid) or module.startswith(("chdb", "clickhouse_connect"))


def _bound(params: Mapping[str, Any] | None) -> dict[str, str]:
    """Placeholders in the form the engine reads them; chdb's own formatting escapes nothing."""
    from clickhouse_connect.driver.binding import format_bind_value

    return {name: format_bind_value(value) for name, value in (params or {}).items()}


def _checked(table: str) -> str:
    if not _TABLE_NAME.fullmatch(table):
        raise WarehouseError(f"{table!r} is not a table name")
    return table


def _insert_into(table: str, data: pa.Table | pa.RecordBatch) -> str:
    return f"INSERT INTO {_checked(table)} ({', '.join(_checked(name) for name in data.schema.names)})"


def _arrow_stream(data: pa.Table | pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, data.schema) as writer:
        writer.write(data)
    return sink.getvalue()


def _as_text(table: pa.Table, binary: tuple[str, ...]) -> pa.Table:
    """Cast the byte columns to text, also inside lists, except those named in `binary`."""
    for position, field in enumerate(table.schema):
        wanted = _text_type(field.type)
        if field.name in binary or wanted == field.type:
            continue
        try:
            column = table.column(position).cast(wanted)
        except pa.ArrowInvalid:
            raise NotText(field.name) from None
        table = table.set_column(position, pa.field(field.name, wanted, field.nullable), column)
    return table


def _text_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_binary(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_text_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _text_type(f.type), f.nullable) for f in kind])
    return kind
