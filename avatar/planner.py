"""Which engines fit on which graphics card, how much of it each may take, and how many people that carries: from memory
readings and a table of measured needs. Imports no engine and reads no device; no card is an answer like any other.

Of several cards the first with room is the language model's, and the ears go there too; the voices have the next, and a
further copy of the fast voice each of the rest.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from avatar.gpu import GpuMemory
from avatar.settings import SEATS

MIB, GIB = 2**20, 2**30
PLANNED = 0.85  # of a card, others' use included: what engines take unplanned must stay below REFUSED
REFUSED = 0.90  # of a card: above it nobody new is let in (the brief's bound)
MOST_SEATS = 64  # of one process, whatever the cards

# vLLM 0.26, Qwen2.5-7B-Instruct-AWQ in full size, max_model_len 4096, on an H200 (2026-11-23, research/gpu.md C and
# results/vllm.json): weights 5.38 GiB, peak activation 1.04, outside torch 0.22, CUDA graphs 0.07. The parts with their
# cache were 12.09 GiB, and the card held 12,385 MiB more under load: the share is all that it takes.
VLLM_MIB = 6_871
CONTEXT_TOKENS = 4_096  # max_model_len
KV_BYTES = 57_344  # a token: 28 layers x 4 heads x 128 x key and value x 2 bytes; measured 5.38 GiB for 100,720
KV_WISH_TOKENS = 100_720  # at which everything was measured; more was not, and would serve nobody among five


def _vllm(tokens: int) -> int:
    return VLLM_MIB + tokens * KV_BYTES // MIB


def _contexts(size: int) -> int:
    """Whole conversations that a language model of so many bytes keeps at once."""
    return max(0, size - VLLM_MIB * MIB) // (CONTEXT_TOKENS * KV_BYTES)


@dataclass(frozen=True, slots=True)
class Level:
    """One way to run an engine on a card. A later level of the same engine takes the place of the earlier one."""

    engine: str  # name of its rung
    mib: int  # what it takes at its peak, all of it: not what it adds to the level before
    model: str = ""
    compute_type: str = ""
    stages_mib: tuple[int, ...] = ()  # of an engine in several processes


def levels(seats: int) -> tuple[Level, ...]:
    """Best use of the next bytes first: who stands above is served before who stands below."""
    return (
        # an assistant that thinks well comes before one that sounds well; two contexts: one is read, one answered
        Level("vllm", _vllm(2 * CONTEXT_TOKENS)),
        # `bench gpu` on an H100, 2026-11-26: fp16, the graphs of all lengths, CUDA context included
        Level("f5", 2_400),
        # results/whisper_14tok.json, in a process that has its CUDA context
        Level("whisper", 418, "small", "int8_float16"),
        Level("vllm", _vllm(max(2, seats) * CONTEXT_TOKENS)),
        Level("whisper", 1_090, "large-v3-turbo", "int8_float16"),
        # On an H200, 2026-11-26, with these stages: 5,330 MiB loaded, 6,524 at the peak of loading and three at once
        Level("cosyvoice", 6_656, stages_mib=(3_072, 3_072)),
        Level("whisper", 2_018, "large-v3-turbo", "float16"),  # 42 ms instead of 54 on an H200
        Level("vllm", _vllm(max(KV_WISH_TOKENS, seats * CONTEXT_TOKENS))),
    )


LABELS: Mapping[str, str] = {"vllm": "vLLM", "f5": "F5-TTS", "whisper": "Whisper", "cosyvoice": "CosyVoice 3"}
ON_CPU_TOO = ("whisper",)
ELASTIC = "vllm"  # takes what is left, up to its highest level
ON_DEMAND = "cosyvoice"  # stays loaded only where every other engine has its highest level
VOICES = ("f5", "cosyvoice")
REPLICATED = "f5"  # it says one clause at a time: a second copy on another card says a second one


@dataclass(frozen=True, slots=True)
class Share:
    """What one engine gets of one card. Sizes in bytes."""

    engine: str
    card: int  # as CUDA counts the visible ones
    bytes: int
    of: int  # the card's real total, also while AVATAR_VRAM_GIB pretends less
    model: str = ""
    compute_type: str = ""
    stages: tuple[int, ...] = ()
    resident: bool = True  # False: loaded when it is asked for, freed when nobody has used it for a while

    @property
    def fraction(self) -> float:
        """Of the card's real total, as vLLM's gpu_memory_utilization wants it."""
        return self.bytes / self.of

    @property
    def stage_fractions(self) -> tuple[float, ...]:
        return tuple(stage / self.of for stage in self.stages)

    def line(self) -> str:
        what = [" ".join(filter(None, (self.model, self.compute_type))), "" if self.resident else "on demand"]
        if self.stages:
            what.append("stages of " + " and ".join(f"{stage / GIB:.1f}" for stage in self.stages))
        notes = "".join(f", {note}" for note in what if note)
        return f"  {LABELS[self.engine]}: {self.bytes / GIB:.1f} GiB, {self.fraction:.3f} of the card{notes}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`cards` as they were read at the start, in CUDA's order. An engine without a share runs on the CPU, or not at
    all; `reasons` says why, for those that were wanted. `replicas`: shares of further copies, one a card. `seats`: how
    many may talk at once."""

    cards: tuple[GpuMemory, ...] = ()
    shares: Mapping[str, Share] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    replicas: Mapping[str, tuple[Share, ...]] = field(default_factory=dict)
    seats: int = SEATS

    def on(self, card: int) -> list[Share]:
        """What is planned for that card."""
        every = (*self.shares.values(), *(share for copies in self.replicas.values() for share in copies))
        return [share for share in every if share.card == card]

    def lines(self) -> list[str]:
        """The plan for the log of the start: a line per engine, the sums, and what does not fit."""
        if not self.cards:
            return ["No graphics card: everything runs on the CPU."]
        lines: list[str] = []
        for number, card in enumerate(self.cards):
            mine = self.on(number)
            planned = sum(share.bytes for share in mine) + card.used
            lines += [
                f"Graphics card {number}: {card.total / GIB:.1f} GiB, of which others use {card.used / GIB:.1f}.",
                *(share.line() for share in mine),
                f"  Together {planned / GIB:.1f} GiB, {planned / card.total:.0%}; planned is up to {PLANNED:.0%}, and "
                f"from {REFUSED:.0%} on nobody new is let in.",
            ]
        lines += [f"  {reason}" for reason in self.reasons.values()]
        return [*lines, f"{self.seats} may talk at once."]


NO_CARD = Plan()


def plan(
    cards: Sequence[GpuMemory], wanted: Collection[str], seats: int, brought: Mapping[str, int] | None = None
) -> Plan:
    """Decide for the engines in `wanted`: names of rungs that are allowed and installed; those not in the table need no
    card. `cards` are read before anything is loaded, so that what is used then belongs to others. `seats`: how many are
    to talk at once, 0 for what the cards carry. `brought` holds the bytes that an engine needs with the model that the
    user gives it instead of the table's.
    """
    hoped = seats or min(MOST_SEATS, SEATS * max(1, len(cards)))
    ladder = _with_brought([level for level in levels(hoped) if level.engine in wanted], brought or {})
    left = [max(0, int(card.total * PLANNED) - card.used) for card in cards]
    chosen: dict[str, tuple[int, Level]] = {}
    for level in ladder:
        at, before = chosen.get(level.engine, (None, None))
        more = (level.mib - (before.mib if before else 0)) * MIB
        places = _preferred(level.engine, len(cards), chosen) if at is None else [at]
        place = next((i for i in places if left[i] >= more), None)
        if place is not None:
            chosen[level.engine] = place, level
            left[place] -= more
    highest = {level.engine: level for level in ladder}
    content = all(chosen.get(name, (0, None))[1] is level for name, level in highest.items())
    shares = {name: _share(cards[at], at, level, content) for name, (at, level) in chosen.items()}
    if (elastic := shares.get(ELASTIC)) is not None:
        room = min(left[elastic.card], highest[ELASTIC].mib * MIB - elastic.bytes)
        shares[ELASTIC] = replace(elastic, bytes=elastic.bytes + max(0, room))
    reasons = {name: _reason(name, ladder, left) for name in highest if name not in shares}
    made = Plan(tuple(cards), shares, reasons, _replicas(cards, left, shares))
    return replace(made, seats=seats or min(hoped, _carried(made)))


def _preferred(engine: str, cards: int, chosen: Mapping[str, tuple[int, Level]]) -> list[int]:
    """The cards to try, best first: ears beside the language model, voices away from it."""
    llm = chosen[ELASTIC][0] if ELASTIC in chosen else None
    voices = {chosen[name][0] for name in VOICES if name in chosen}
    if engine in VOICES:
        return sorted(range(cards), key=lambda i: (i == llm, i not in voices, i))
    return sorted(range(cards), key=lambda i: (i != llm, i in voices, i))


def _replicas(cards: Sequence[GpuMemory], left: list[int], shares: Mapping[str, Share]) -> dict[str, tuple[Share, ...]]:
    """Further copies of the fast voice, on the cards that neither it nor the language model is on."""
    if (first := shares.get(REPLICATED)) is None:
        return {}
    busy = {shares[name].card for name in (REPLICATED, ELASTIC) if name in shares}
    rest = [i for i in range(len(cards)) if i not in busy and left[i] >= first.bytes]
    return {REPLICATED: tuple(replace(first, card=i, of=cards[i].card) for i in rest)} if rest else {}


def _carried(made: Plan) -> int:
    """The seats of one card for every card that has an engine, where both the language model and the voice have one,
    and never more than conversations fit into the model's memory. Measured with one card only (docs/scale.md)."""
    if ELASTIC not in made.shares or REPLICATED not in made.shares:
        return SEATS
    used = sum(bool(made.on(number)) for number in range(len(made.cards)))
    return max(SEATS, min(SEATS * used, _contexts(made.shares[ELASTIC].bytes)))


def whisper_bytes(folder: Path) -> int:
    """What a Whisper model of the user's takes on a card: its file, and what large-v3-turbo took beside its weights of
    1,543 MiB in float16. A folder without one takes nothing: loading will say what is wrong with it."""
    model = folder / "model.bin"
    return model.stat().st_size + (2_018 - 1_543) * MIB if model.is_file() else 0


def _share(card: GpuMemory, at: int, level: Level, content: bool) -> Share:
    return Share(
        engine=level.engine,
        card=at,
        bytes=level.mib * MIB,
        of=card.card,
        model=level.model,
        compute_type=level.compute_type,
        stages=tuple(mib * MIB for mib in level.stages_mib),
        resident=content or level.engine != ON_DEMAND,
    )


def _with_brought(ladder: list[Level], brought: Mapping[str, int]) -> list[Level]:
    """A model that the user brings is not exchanged for another: its engine has one level, where its first was."""
    seen: set[str] = set()
    kept = []
    for level in ladder:
        if level.engine not in brought:
            kept.append(level)
        elif level.engine not in seen:
            kept.append(Level(level.engine, -(-brought[level.engine] // MIB), compute_type=level.compute_type))
        seen.add(level.engine)
    return kept


def _reason(name: str, ladder: Sequence[Level], left: Sequence[int]) -> str:
    least = next(level.mib for level in ladder if level.engine == name) / 1024
    instead = "runs on the CPU" if name in ON_CPU_TOO else "cannot run"
    why = f"it needs {least:.1f} GiB of graphics memory, and {max(left, default=0) / GIB:.1f} are left for it"
    return f"{LABELS[name]} {instead}: {why if left else 'there is no graphics card'}."
