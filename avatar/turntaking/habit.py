"""How long one speaker pauses without having finished, as far as answering too early has taught it. Pure."""

from collections import deque

TURNS = 2  # one after the other in which a reply came too early: once may be chance
TIMES = 2  # such a pause is then waited before a statement is answered: who pauses 0.4 s also pauses 0.7 s
LEAST_MS = 400  # shorter pauses are part of everybody's speech


class Habit:
    """Of one microphone. Costs nothing until replies had to be withdrawn, in two turns running, because the user went
    on. Each turn with such a pause renews it, one without ends it."""

    def __init__(self) -> None:
        self._turns: deque[float] = deque(maxlen=TURNS)  # of each of the last: its longest such pause, or 0
        self._now = 0.0  # of the turn that is being said

    @property
    def wait_ms(self) -> int:
        """Silence to wait before the end of a statement is believed; 0 where nothing was learned."""
        recent = [*self._turns, self._now][-TURNS:] if self._now else list(self._turns)
        return round(TIMES * max(recent)) if len(recent) == TURNS and all(recent) else 0

    def cut_off(self, pause_ms: float) -> None:
        """A reply began in this pause, and the user went on: the turn was not over."""
        self._now = max(self._now, self._turns.pop() if self._turns else 0.0, pause_ms)

    def went_on(self, pause_ms: float) -> None:
        """The user went on after this pause, which was not answered."""
        if self.wait_ms and pause_ms >= LEAST_MS:
            self._now = max(self._now, pause_ms)

    def turn_over(self) -> None:
        """It is answered."""
        self._turns.append(self._now)
        self._now = 0.0
