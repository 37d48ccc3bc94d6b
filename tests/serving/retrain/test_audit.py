"""A chain that holds is read back; one that was touched is refused."""

import json
import multiprocessing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.retrain.audit import GENESIS, AuditBroken, AuditInUse, AuditLog, verify


def written(path, count=4):
    log = AuditLog(path)
    for number in range(count):
        log.append("notification", {"outcome": "started", "number": number})
    log.close()
    return path


def test_each_record_names_the_digest_of_the_one_before(tmp_path):
    path = written(tmp_path / "audit.jsonl")
    records = [json.loads(line) for line in path.read_bytes().splitlines()]

    assert [record["sequence"] for record in records] == [0, 1, 2, 3]
    assert records[0]["previous"] == GENESIS
    assert len({record["previous"] for record in records}) == 4
    assert verify(path) == 4
    assert path.stat().st_mode & 0o077 == 0, "only the owner may read it"


def test_it_goes_on_where_it_ended(tmp_path):
    path = written(tmp_path / "audit.jsonl")
    log = AuditLog(path)
    assert [record["number"] for record in log.records] == [0, 1, 2, 3]
    log.append("opened", {})
    log.close()
    assert verify(path) == 5


@given(data=st.data())
def test_no_byte_before_the_last_record_can_be_changed(tmp_path_factory, data):
    path = written(tmp_path_factory.mktemp("audit") / "audit.jsonl")
    content = bytearray(path.read_bytes())
    last = content[:-1].rindex(b"\n")
    place = data.draw(st.integers(0, last))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(AuditBroken):
        AuditLog(path)


@pytest.mark.parametrize(
    "edit", [lambda lines: lines[1:], lambda lines: lines[:1] + lines[2:], lambda lines: lines[::-1]]
)
def test_no_record_can_be_dropped_or_moved(tmp_path, edit):
    path = written(tmp_path / "audit.jsonl")
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(AuditBroken):
        AuditLog(path)
    with pytest.raises(AuditBroken):
        verify(path)


def test_a_record_that_a_crash_tore_is_cut_off_and_that_is_recorded(tmp_path):
    path = written(tmp_path / "audit.jsonl")
    path.write_bytes(path.read_bytes() + b'{"sequence":4,"kin')
    log = AuditLog(path)
    log.close()

    assert len(log.records) == 4
    assert verify(path) == 5
    torn = json.loads(path.read_bytes().splitlines()[-1])
    assert (torn["kind"], torn["removed_bytes"]) == ("torn_record", 18)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "target").touch()
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        AuditLog(tmp_path / "audit.jsonl")


def hold(path, opened, done):
    log = AuditLog(path)
    opened.set()
    done.wait(30)
    log.close()


def test_one_process_holds_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    opened, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "audit.jsonl", opened, done))
    other.start()
    try:
        assert opened.wait(30)
        with pytest.raises(AuditInUse):
            AuditLog(tmp_path / "audit.jsonl")
    finally:
        done.set()
        other.join(30)
    AuditLog(tmp_path / "audit.jsonl").close()
