"""Shell mutations keep a command's output: harmless payloads run in a real shell before and after."""

import random
import subprocess

import pytest

from secmlops.web_attacks.mutations import MUTATIONS, for_class, mutate
from secmlops.web_attacks.mutations.shell import MUTATIONS as SHELL_MUTATIONS

IN_SH = [one for one in SHELL_MUTATIONS if "sh" in one.engines]

# (the attacked command with the place of the payload, payload)
CASES = [
    ("echo ping {}", "; echo hello world"),
    ("echo ping {}", "127.0.0.1; echo hello; echo big world"),
    ("echo ping {}", "| tr a-z A-Z"),
    ("echo ping {}", "&& echo done || echo failed"),
    ("echo ping {}", "`echo inner`"),
    ("echo ping {}", "$(echo inner text)"),
    ("echo ping {}", "; cat {file} ; echo $((2+3))"),
    ("echo ping {}", "; if [ 3 -eq 3 ]; then echo same; else echo other; fi"),
    ("echo ping '{}'", "'; echo hello; echo '"),
    ('echo ping "{}"', '"; echo hello world; echo "'),
    ("echo ping {}", "\necho second line\necho third line"),
    ("echo ping {}", "; word=$(echo alpha); echo ${word} beta"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shell") / "inner"
    folder.mkdir()
    (folder / "secret").write_text("content\n")

    def run(command, payload):
        script = command.replace("{}", payload).replace("{file}", f"{folder}/secret")
        done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=20, cwd=folder)
        return done.stdout, done.returncode

    run.folder = folder
    return run


def with_file(payload, run):
    return payload.replace("{file}", f"{run.folder}/secret")


@pytest.mark.parametrize("one", IN_SH, ids=lambda one: one.name)
def test_each_mutation_keeps_the_output(one, run):
    changed = 0
    for command, payload in CASES:
        payload = with_file(payload, run)
        mutated = {one.apply(payload, random.Random(seed)) for seed in range(12)} - {payload}
        expected = run(command, payload) if mutated else None
        for variant in sorted(mutated)[:6]:
            assert run(command, variant) == expected, variant
        changed += len(mutated)
    assert changed


@pytest.mark.parametrize(("command", "payload"), CASES, ids=[payload for _, payload in CASES])
def test_composed_mutations_keep_the_output(command, payload, run):
    payload = with_file(payload, run)
    names = [one.name for one in IN_SH]
    expected = run(command, payload)
    variants = {mutate(payload, "cmd_injection", random.Random(seed), rounds=4, names=names) for seed in range(8)}
    for variant in variants:
        assert run(command, variant) == expected, variant


def test_expansions_and_arithmetic_are_left_alone():
    for seed in range(50):
        mutated = mutate("; echo ${long_name} $((11+22))", "cmd_injection", random.Random(seed), rounds=6)
        assert "${long_name}" in mutated
        assert "$((11+22))" in mutated


def test_shellshock_payloads_still_define_a_function_and_run_on():
    payload = "() { :; }; echo vulnerable"
    for seed in range(20):
        mutated = MUTATIONS["shellshock_body"].apply(payload, random.Random(seed))
        assert mutated.startswith("() {")  # an unpatched bash looks for exactly these characters
        done = subprocess.run(["/bin/bash", "-c", f"f {mutated}"], capture_output=True, text=True, timeout=20)
        assert done.stdout == "vulnerable\n", mutated


def test_windows_commands_get_only_windows_mutations():
    posix_only = {one.name for one in IN_SH if one.layer == "payload"}
    for seed in range(40):
        mutated = mutate("& ipconfig /all", "cmd_injection", random.Random(seed), rounds=3)
        assert mutated.replace("^", "").lower() == "& ipconfig /all"
    assert posix_only.isdisjoint(one.name for one in for_class("cmd_injection") if "cmd" in one.engines)


def test_php_code_keeps_its_backquotes_free_of_dollars():
    # PHP would read `$@` or `${zq}` inside backquotes itself.
    for seed in range(60):
        mutated = mutate("');print(`echo hello world`);//", "cmd_injection", random.Random(seed), rounds=4)
        assert "$" not in mutated
        assert "\\" not in mutated
