"""SQL mutations keep a query's result: the original and the mutated payload run in a real engine, SQLite."""

import random
import sqlite3

import pytest

from secmlops.web_attacks.mutations import MUTATIONS, for_class, mutate

ON_SQLITE = [one for one in for_class("sqli") if one.layer == "payload" and "sqlite" in one.engines]

# (the attacked query with the place of the payload, payloads)
QUERIES = {
    "SELECT id, name FROM users WHERE id = {} LIMIT 5": [
        "1 or 1=1",
        "1 and 1=2",
        "1 OR 'a'='a'",
        "-1 union select 1,name from users where id<3 -- ",
        "-1 UNION ALL SELECT id, upper(name) FROM users WHERE name='alice'--",
        "-1 or (id=2 and 'x'<>'y')",
        "3 or id = 2 and not name = 'alice'",
        "1 and (select count(*) from users where name like 'a%')=1",
        "-1 or case when 5=5 then 1 else 0 end",
        "1/**/or/**/1=1",
        "-1 or id between 1 and 2",
    ],
    "SELECT id, name FROM users WHERE name = '{}' ORDER BY id": [
        "' or '1'='1",
        "' or 1=1 -- ",
        "alice' and 'a'='b",
        "x' union select id, name from users where id > 1 and 3=3 -- x",
        "x' or name = 'bob' or 'z'='y",
        "x' or (1=1) and name <> 'bob' -- ",
        "x' or ('k'='k') -- ",
    ],
    "SELECT id FROM users WHERE (name = '{}') AND id > 0 ORDER BY id": [
        "') or ('a'='a",
        "x') or 2>1 -- ",
        "x') or id=3 and ('q'='q",
    ],
}
CASES = [(query, payload) for query, payloads in QUERIES.items() for payload in payloads]


@pytest.fixture(scope="module")
def database():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE users (id INTEGER, name TEXT)")
    connection.executemany("INSERT INTO users VALUES (?, ?)", [(1, "alice"), (2, "bob"), (3, "carol")])
    yield connection
    connection.close()


def result_of(database, query, payload):
    return database.execute(query.format(payload)).fetchall()


@pytest.mark.parametrize("one", ON_SQLITE, ids=lambda one: one.name)
def test_each_mutation_keeps_the_result(one, database):
    changed = 0
    for query, payload in CASES:
        expected = result_of(database, query, payload)
        for seed in range(25):
            mutated = one.apply(payload, random.Random(seed))
            changed += mutated != payload
            assert result_of(database, query, mutated) == expected, mutated
    assert changed >= 25


@pytest.mark.parametrize(("query", "payload"), CASES, ids=[payload for _, payload in CASES])
def test_composed_mutations_keep_the_result(query, payload, database):
    names = [one.name for one in ON_SQLITE]
    expected = result_of(database, query, payload)
    variants = set()
    for seed in range(40):
        mutated = mutate(payload, "sqli", random.Random(seed), rounds=5, names=names)
        assert result_of(database, query, mutated) == expected, mutated
        variants.add(mutated)
    assert len(variants) > 20


def test_text_inside_the_attacked_string_is_left_alone():
    payload = "select or union' or 1=1 -- "
    for seed in range(50):
        assert mutate(payload, "sqli", random.Random(seed), rounds=4).startswith("select or union'")


def test_ordinals_and_limits_are_left_alone():
    for seed in range(50):
        mutated = MUTATIONS["sql_number_expression"].apply("1 order by 3 limit 1", random.Random(seed))
        assert mutated == "1 order by 3 limit 1"


def test_functions_keep_their_parenthesis_in_versioned_comments():
    # MySQL takes a built-in function's name for a column when anything stands before its parenthesis.
    for seed in range(50):
        assert "sleep(" in MUTATIONS["sql_versioned_comment"].apply("1 or sleep(5)", random.Random(seed))


def test_a_line_comment_keeps_its_line_end():
    payload = "1 -- note\nor 1=1"
    for name in ("sql_whitespace", "sql_comment_for_blank", "sql_line_comment_for_blank"):
        for seed in range(30):
            assert "note\nor" in MUTATIONS[name].apply(payload, random.Random(seed))


def test_ambiguous_strings_are_not_touched():
    payload = "\\' or 1=1 -- "
    assert mutate(payload, "sqli", random.Random(1), rounds=5, names=[one.name for one in ON_SQLITE]) == payload


@pytest.mark.parametrize(
    ("name", "payload", "mutated"),
    [
        ("sql_logical_operator", "1 or 2 and 3", {"1 || 2 and 3", "1 or 2 && 3", "1 || 2 && 3"}),
        ("sql_string_hex", "1 or name='bob'", {"1 or name=0x626f62"}),
        ("sql_string_chr", "1 or name='bo'", {"1 or name=(CHR(98)||CHR(111))"}),
        ("sql_comment_style", "1 or 1=1#", {"1 or 1=1-- "}),
    ],
)
def test_dialect_rewritings(name, payload, mutated):
    # MySQL, PostgreSQL and Oracle are not at hand: the form is compared with what their manuals define.
    results = {MUTATIONS[name].apply(payload, random.Random(seed)) for seed in range(40)}
    assert results <= mutated | {payload}
    assert results & mutated


def test_composition_keeps_one_shared_engine():
    for seed in range(60):
        mutated = mutate("1 or name='alice' and 1=1", "sqli", random.Random(seed), rounds=8)
        mysql_only = "/*!" in mutated or "#" in mutated or "&&" in mutated or "0x616c" in mutated.lower()
        assert not (mysql_only and "CHR(" in mutated), mutated
