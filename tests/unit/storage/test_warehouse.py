import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secmlops.storage import warehouse
from secmlops.storage.uri import InvalidUri
from secmlops.storage.warehouse import NotText, WarehouseBusy, WarehouseError, open_warehouse

TABLE = "CREATE TABLE IF NOT EXISTS t (id UInt64, v String, tags Array(String)) ENGINE = MergeTree ORDER BY id"
PASSWORD = "only for this test"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URI of a ClickHouse HTTP interface in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("clickhouse_facade.py")), str(tmp_path_factory.mktemp("server"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "CLICKHOUSE_PASSWORD": PASSWORD},
        text=True,
    )
    yield f"clickhouse://tester@127.0.0.1:{process.stdout.readline().strip()}/default?secure=false"
    process.stdin.close()
    process.wait(timeout=20)


@pytest.fixture(params=["chdb", "clickhouse"])
def house(request, tmp_path, monkeypatch):
    if request.param == "clickhouse":
        monkeypatch.setenv("CLICKHOUSE_PASSWORD", PASSWORD)
        uri = request.getfixturevalue("server")
    else:
        uri = f"chdb://{tmp_path}/house"
    with open_warehouse(uri) as opened:
        opened.execute("DROP TABLE IF EXISTS t")
        opened.execute(TABLE)
        yield opened


def rows(*values: bytes) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(range(len(values)), pa.uint64()),
            "v": pa.array(values, pa.binary()),
            "tags": pa.array([["a", "é"]] * len(values), pa.list_(pa.string())),
        }
    )


def test_bytes_and_text_come_back_as_they_went_in(house):
    wild = bytes(range(256)) + b"\\\t\n'"
    house.insert("t", rows(b"plain", wild))
    found = house.query("SELECT * FROM t ORDER BY id", binary=("v",)).to_pylist()
    assert [row["v"] for row in found] == [b"plain", wild]
    assert found[0]["tags"] == ["a", "é"]


def test_a_text_column_that_is_not_utf8_is_named(house):
    house.insert("t", rows(b"\xff"))
    with pytest.raises(NotText) as caught:
        house.query("SELECT v FROM t")
    assert caught.value.column == "v"


def test_parameters_are_values_never_sql(house):
    house.insert("t", rows(b"one", b"two"))
    hostile = "one' OR 1=1 --\t\n\\"
    count = house.query("SELECT count() AS n FROM t WHERE v = {v:String}", {"v": hostile}).column("n")[0].as_py()
    assert count == 0
    assert house.query("SELECT {v:String} AS v", {"v": hostile}).column("v")[0].as_py() == hostile


def test_long_lists_of_parameters_pass(house):
    house.insert("t", rows(b"x"))
    ids = [f"{n:064x}" for n in range(1_000)]
    found = house.query("SELECT length({ids:Array(String)}) AS n", {"ids": ids}).column("n")[0].as_py()
    assert found == 1_000


def test_streams_survive_other_statements_and_early_ends(house):
    house.execute("INSERT INTO t SELECT number, toString(number), [] FROM numbers(150000)")
    seen = 0
    for batch in house.stream("SELECT id FROM t ORDER BY id"):
        seen += batch.num_rows
        house.query("SELECT 1 AS one")
    assert seen == 150_000
    next(house.stream("SELECT id FROM t"))
    assert house.query("SELECT count() AS n FROM t").column("n")[0].as_py() == 150_000


def test_an_empty_insert_and_an_empty_result(house):
    house.insert("t", rows())
    assert house.query("SELECT * FROM t").num_rows == 0


@pytest.mark.parametrize("sql", ["SELECT nonsense FROM t", "SELEC 1", "SELECT * FROM absent", "SELECT {v:String}"])
def test_what_the_engine_refuses_is_our_error(house, sql):
    with pytest.raises(WarehouseError):
        house.query(sql)
    assert house.query("SELECT 1 AS one").num_rows == 1


def test_an_insert_that_does_not_fit_is_refused(house):
    with pytest.raises(WarehouseError):
        house.insert("t", pa.table({"absent": [1]}))


@pytest.mark.parametrize("name", ["t; DROP TABLE t", "t (id) SELECT 1", "", "a" * 65, "t`"])
def test_a_table_name_is_a_name(house, name):
    with pytest.raises(WarehouseError):
        house.insert(name, rows(b"x"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_passes_as_a_parameter(house, value):
    # ClickHouse's own escaping rules read a bare carriage return and NUL as they are; nothing may be lost or run.
    found = house.query("SELECT {v:String} AS v", {"v": value}).column("v")[0].as_py()
    assert found == value


def test_two_warehouses_at_once_are_refused(tmp_path):
    with open_warehouse(f"chdb://{tmp_path}/one"), pytest.raises(WarehouseBusy) as caught:
        open_warehouse(f"chdb://{tmp_path}/two")
    assert caught.value.folder.endswith("two")
    with open_warehouse(f"chdb://{tmp_path}/two"):
        pass  # once the first is closed, the second opens


def test_another_process_is_refused(tmp_path):
    script = (
        "import sys\nfrom secmlops.storage.warehouse import open_warehouse, WarehouseBusy\n"
        "try:\n    open_warehouse(sys.argv[1])\nexcept WarehouseBusy as error:\n    print('busy', error.folder)\n"
    )
    with open_warehouse(f"chdb://{tmp_path}/house"):
        done = subprocess.run(
            [sys.executable, "-c", script, f"chdb://{tmp_path}/house"], capture_output=True, text=True, check=True
        )
    assert done.stdout.startswith("busy ")


def test_rows_stay_after_closing(tmp_path):
    with open_warehouse(f"chdb://{tmp_path}/house") as house:
        house.execute(TABLE)
        house.insert("t", rows(b"x"))
    house.close()
    with pytest.raises(WarehouseError, match="closed"):
        house.query("SELECT 1")
    with open_warehouse(f"chdb://{tmp_path}/house") as house:
        assert house.query("SELECT count() AS n FROM t").column("n")[0].as_py() == 1


def test_a_server_wants_its_password(server, monkeypatch):
    monkeypatch.delenv("CLICKHOUSE_PASSWORD", raising=False)
    with pytest.raises(WarehouseError, match="CLICKHOUSE_PASSWORD"):
        open_warehouse(server)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "wrong")
    with pytest.raises(WarehouseError):
        open_warehouse(server)


def test_a_server_is_spoken_to_over_tls_unless_said_otherwise(server, monkeypatch):
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", PASSWORD)
    with pytest.raises(WarehouseError):  # the facade speaks no TLS, and nothing falls back
        open_warehouse(server.removesuffix("?secure=false"))


@pytest.mark.parametrize("uri", ["s3://bucket/key", "/some/path", "file:///some/path"])
def test_what_is_no_warehouse_is_refused(uri):
    with pytest.raises(WarehouseError):
        open_warehouse(uri)


def test_a_password_in_the_uri_is_refused():
    with pytest.raises(InvalidUri):
        open_warehouse("clickhouse://user:secret@host/db")


def test_importing_the_module_starts_no_engine():
    script = "import sys, secmlops.storage.warehouse; print('chdb' in sys.modules, 'clickhouse_connect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert warehouse.Warehouse is not None
