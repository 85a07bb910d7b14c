"""python -m avatar.bench talk | barge | soak | gpu | cluster | capacity: measure AVATAR, say which bars it meets."""

import argparse
import signal
import sys
from pathlib import Path

from avatar.bench import barge, cluster, gpu, report, soak, talk
from avatar.bench.clips import FOLDER
from avatar.errors import AvatarError


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["gpu"]:
        return gpu.main(argv[1:])
    if argv[:1] == ["cluster"]:
        return cluster.main(argv[1:])
    if argv[:1] == ["capacity"]:
        from avatar.bench import capacity  # simulates: what that takes is not on every machine that measures

        return capacity.main(argv[1:])
    parser = argparse.ArgumentParser(prog="python -m avatar.bench", description=__doc__)
    parser.add_argument(
        "campaign",
        choices=("talk", "barge", "soak"),
        help="turns and pauses, interruptions, or hours; gpu, cluster and capacity have their own: gpu --help",
    )
    parser.add_argument(
        "--sessions", type=int, choices=range(1, 6), metavar="N", help="how many talk, 1 to 5 (soak: 5, else 1)"
    )
    parser.add_argument("--together", action="store_true", help="all of them stop speaking in the same instant")
    parser.add_argument(
        "--clips", type=Path, default=FOLDER, help="folder with the clips (its clips.json may name others)"
    )
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--quick", action="store_true", help="a minute instead of six: fewer clips and pauses")
    parser.add_argument("--minutes", type=float, default=120.0, help="how long to soak")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    options = parser.parse_args(argv)
    sessions = options.sessions or (5 if options.campaign == "soak" else 1)
    if options.together and sessions == 1:
        parser.error("--together needs --sessions of 2 or more")
    try:
        if options.campaign == "soak":
            result = soak.run(soak.Options(sessions, options.minutes, options.clips))
            judged, table = soak.bars(result), soak.table
        else:
            asked = talk.Options(sessions, options.together, options.clips, options.quick)
            result = talk.run(asked) if options.campaign == "talk" else barge.run(asked)
            judged, table = (report.bars if options.campaign == "talk" else barge.bars)(result), report.table
    except AvatarError as error:
        print(f"The bench stopped: {error.sentence}", file=sys.stderr)
        return 2
    print("\n" + table(result, judged))
    if options.json:
        report.write(result, judged, options.json)
    return int(options.strict and any(bar.met is False for bar in judged))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave by the finally blocks, which end the app
    sys.exit(main())
