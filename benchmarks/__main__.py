"""Measure every claim and print it beside its named peer: `python -m benchmarks [NAME ...]`."""

import importlib
import sys
import time
from pathlib import Path

NOT_CLAIMS = {"__init__", "__main__", "data", "report"}


def names() -> list[str]:
    """The benchmarks of this folder: a file per claim.

    Each has `main() -> bool | None`: whether its bounds were met; None when it was skipped, because the data or the
    peer that it needs is not here.
    """
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_CLAIMS)


def main(chosen: list[str]) -> int:
    """Run the chosen benchmarks, or all; returns an exit status: 0 when bounds were met and none was missed."""
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    by_outcome: dict[str, list[str]] = {"met": [], "NOT MET": [], "skipped": []}
    for name in chosen or names():
        began = time.monotonic()
        met = importlib.import_module(f"benchmarks.{name}").main()
        by_outcome["skipped" if met is None else "met" if met else "NOT MET"].append(name)
        print(f"{name}: {time.monotonic() - began:.0f} s\n", flush=True)
    for outcome, those in by_outcome.items():
        print(f"{outcome}: {len(those)}{''.join(f' {name}' for name in those)}")
    return 0 if by_outcome["met"] and not by_outcome["NOT MET"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
