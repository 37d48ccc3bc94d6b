"""The command line of a server."""

import pytest

from serving.limits import Limits
from serving.server import argument_parser, serve
from tests.serving.model_doubles import Lengths

REQUIRED = ["--trusted_key=key.pub"]


def test_every_limit_is_a_flag():
    flags = argument_parser("test", "lengths").parse_args([*REQUIRED, "--max_depth=9", "--body_timeout_s=2.5"])
    assert Limits.from_flags(flags) == Limits(max_depth=9, body_timeout_s=2.5)
    assert flags.model_name == "lengths"
    assert flags.http_port == 8080, "KServe's own flags and defaults stay"


@pytest.mark.parametrize("flag", ["--max_depth=0", "--max_body_bytes=-1", "--body_timeout_s=nan", "--max_depth=x"])
def test_a_limit_must_be_a_limit(flag, capsys):
    with pytest.raises(SystemExit):
        argument_parser("test", "lengths").parse_args([*REQUIRED, flag])
    assert flag.partition("=")[0] in capsys.readouterr().err


def test_the_trusted_key_has_no_default(capsys):
    with pytest.raises(SystemExit):
        argument_parser("test", "lengths").parse_args([])
    assert "--trusted_key" in capsys.readouterr().err


def test_more_workers_are_refused():
    flags = argument_parser("test", "lengths").parse_args([*REQUIRED, "--workers=2"])
    with pytest.raises(SystemExit, match="replicas"):
        serve(Lengths, flags)
