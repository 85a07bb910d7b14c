"""How fast a GGUF model thinks on this machine: `python -m avatar.bench.mind FILE`.

Loads it as AVATAR_GGUF would, asks it a question of ten words whose beginning it has read, and one that it has read
while it was spoken. With a file of bench/gguf_models.py this is what a laptop has to expect of Qwen2.5-1.5B.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from avatar.bench.served import conditions
from avatar.engines.base import SYSTEM_PROMPT, Message
from avatar.engines.llamacpp import LlamaCppLLM, load, threads
from avatar.metrics import percentile
from avatar.settings import Settings

QUESTION = "what should I cook tonight for my two best friends"
RUNS = 9


def prompt(words: str) -> list[Message]:
    return [Message("system", SYSTEM_PROMPT), Message("user", words)]


def answered(engine: LlamaCppLLM, words: str) -> tuple[list[float], list[float]]:
    """When each token came: seconds by the clock, and of the processor, which on a busy machine are fewer."""
    clock, processor = [time.perf_counter()], [time.process_time()]
    for _ in engine.reply(prompt(words), 0):
        clock.append(time.perf_counter())
        processor.append(time.process_time())
    return [at - clock[0] for at in clock[1:]], [at - processor[0] for at in processor[1:]]


def told(name: str, unread: Sequence[Sequence[float]], read: Sequence[Sequence[float]]) -> list[str]:
    firsts = ([at[0] * 1000 for at in answers] for answers in (unread, read))
    rates = [(len(at) - 1) / (at[-1] - at[0]) for at in (*unread, *read) if len(at) > 1]
    before, ahead = map(spread, firsts)
    return [
        f"by the {name}: first token of an unread question, ms: {before}",
        f"  of one that was read while it was spoken, ms: {ahead}",
        f"  tokens per second: {spread(rates)}",
    ]


def spread(values: Sequence[float]) -> str:
    return f"median {percentile(values, 50):.0f}, {min(values):.0f} to {max(values):.0f}"


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if len(argv) != 1 or not Path(argv[0]).is_file():
        print(__doc__)
        return 2
    settings, here = Settings.from_env(gguf=argv[0]), psutil.Process()
    rss, started = here.memory_info().rss, time.perf_counter()
    engine = load(settings, lambda fraction: None)
    where, size = conditions(), Path(argv[0]).stat().st_size / 1e6
    print(f"{where['cpu']}, {where['cores']} cores, commit {where['commit']}, {where['date']}")
    print(f"load average {psutil.getloadavg()[0]:.1f}; threads {threads(settings)}; file {size:,.0f} MB")
    print(f"loaded in {time.perf_counter() - started:.1f} s, {(here.memory_info().rss - rss) >> 20:,} MiB more")
    unread = [answered(engine, f"{number}, {QUESTION}") for number in range(RUNS)]
    read = []
    for number in range(RUNS, 2 * RUNS):
        engine.prefill(prompt(f"{number}, {QUESTION}"), 0)
        read.append(answered(engine, f"{number}, {QUESTION}"))
    for which, name in enumerate(("clock", "processor")):
        print("\n".join(told(name, [one[which] for one in unread], [one[which] for one in read])))
    engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
