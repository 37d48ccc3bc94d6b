"""Measure every claim and print it beside its named peer: `python -m benchmarks [NAME ...]`."""

import importlib
import sys
import time
from pathlib import Path

NOT_CLAIMS = {"__init__", "__main__", "data", "report"}


def names() -> list[str]:
    """The benchmarks of this folder: a file per claim, each with `main() -> bool`, whether its bounds were met."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_CLAIMS)


def main(chosen: list[str]) -> int:
    """Run the chosen benchmarks, or all; returns how many did not meet their bounds."""
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    failed = []
    for name in chosen or names():
        began = time.monotonic()
        if not importlib.import_module(f"benchmarks.{name}").main():
            failed.append(name)
        print(f"{name}: {time.monotonic() - began:.0f} s\n", flush=True)
    print(f"bounds not met: {', '.join(failed)}" if failed else "all bounds met")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
