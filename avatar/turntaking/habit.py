"""How long one speaker pauses without having finished, as far as answering too early has taught it. Pure."""

TIMES = 2  # such a pause is waited before the next statement is answered: who pauses 0.4 s also pauses 0.7 s
TURNS = 1  # after that in which it was learned; each pause of that kind renews it
LEAST_MS = 400  # shorter ones are part of everybody's speech


class Habit:
    """Of one microphone. Costs nothing until a reply had to be withdrawn because the user went on."""

    def __init__(self) -> None:
        self._pause_ms = 0.0
        self._turns = 0

    @property
    def wait_ms(self) -> int:
        """Silence to wait before the end of a statement is believed; 0 where nothing was learned."""
        return round(TIMES * self._pause_ms)

    def cut_off(self, pause_ms: float) -> None:
        """A reply began in this pause, and the user went on."""
        self._pause_ms, self._turns = max(self._pause_ms, pause_ms), TURNS + 1

    def went_on(self, pause_ms: float) -> None:
        """The user went on after this pause, which was not answered."""
        if self._pause_ms and pause_ms >= LEAST_MS:
            self.cut_off(pause_ms)

    def turn_over(self) -> None:
        self._turns -= 1
        if self._turns <= 0:
            self._pause_ms, self._turns = 0.0, 0
