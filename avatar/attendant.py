"""Looks after the live sessions: warns and frees idle seats, tells pages how many are taken, and empties the house
before it closes. Knows no socket.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from avatar.conversation import Conversation
from avatar.events import Notice
from avatar.pipeline import Pipeline
from avatar.sessions import Seats

WATCH_S = 1.0  # between two looks at who idles and how many seats are taken
DRAINING = "This AVATAR is about to stop or to restart. The page goes on by itself when it is back."
ELSEWHERE = "This conversation goes on in another window of yours. Press Start to have it here again."
RESTART = 1012  # how the socket closes then: "service restart", after which a page connects anew


class Attendant:
    """One for all live sessions. Lives in the event loop, but for `drain`."""

    def __init__(
        self,
        seats: Seats,
        live: Mapping[str, Conversation],
        pipeline: Pipeline,
        news: Callable[[int], Sequence[Notice]] = lambda since: (),
    ) -> None:
        """`live`: by the key of its seat. `news` are notices for all who talk, from a number on: see Pressure.told."""
        self._seats, self._live, self._pipeline, self._news = seats, live, pipeline, news
        self.draining = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """In the event loop; harmless when it runs already."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    def drain(self) -> None:
        """From any thread: nobody new gets a seat, whoever is not being answered is hung up on, and whoever is, once
        the reply has been heard."""
        self._seats.close(DRAINING)
        self.draining = True

    @property
    def empty(self) -> bool:
        """Whether nobody is here any more, nor answered without a seat."""
        return not self._live and not self._pipeline.running

    async def _watch(self) -> None:
        """Runs as long as the server."""
        shown, warned = -1, dict[str, float]()  # session -> the activity that its warning followed
        told = len(self._news(0))
        while True:
            await asyncio.sleep(WATCH_S)
            for notice in self._news(told):
                told += 1
                for talking in self._live.values():
                    talking.notice(notice.code, notice.sentence)
            warned = self._idle(warned)
            if (taken := self._seats.count()) != shown:
                shown = taken
                for conversation in self._live.values():
                    conversation.post("seats", n=taken, of=self._seats.max_sessions)
            if self.draining:
                self._hang_up()

    def _idle(self, warned: dict[str, float]) -> dict[str, float]:
        for seat, left_s in self._seats.idle():
            if (conversation := self._live.get(seat.key)) is not None:
                if warned.get(seat.key) != seat.last_active:
                    warned = {key: at for key, at in warned.items() if key in self._live}
                    warned[seat.key] = seat.last_active
                    conversation.post("idle", left_s=max(0, round(left_s)))
                if left_s <= 0:
                    conversation.hang_up("IDLE", "Nothing was said for a while, so this seat was freed.")
        return warned

    def _hang_up(self) -> None:
        for conversation in self._live.values():
            if conversation.at_rest:
                conversation.hang_up("DRAINING", DRAINING, close=RESTART)
