"""What the page of one live session must be told, in order. Knows no socket."""

import asyncio
from typing import Any

MOST = 2_000  # messages; the reply is sent at most 1 s ahead, so a page this far behind is gone

Message = dict[str, Any] | bytes


class Outbox:
    """Dicts (JSON) and bytes (audio), until None ends it. Filled and emptied in the event loop."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Message | None] = asyncio.Queue()
        self.close_code = 1000  # of the socket at the end

    async def get(self) -> Message | None:
        return await self._waiting.get()

    def get_nowait(self) -> Message | None:
        """Raises asyncio.QueueEmpty."""
        return self._waiting.get_nowait()

    def qsize(self) -> int:
        return self._waiting.qsize()

    def put(self, message: Message) -> None:
        if self.qsize() < MOST:
            self._waiting.put_nowait(message)
        elif self.qsize() == MOST:
            self.end()  # the page reads nothing any more: the socket closes

    def post(self, kind: str, **fields: Any) -> None:
        self.put({"t": kind, **fields})

    def notice(self, code: str, text: str) -> None:
        self.post("notice", code=code, text=text)

    def hang_up(self, code: str, text: str, close: int = 1000) -> None:
        """Say why, then close the socket with this code."""
        self.close_code = close
        self.post("error", code=code, text=text)
        self.end()

    def end(self) -> None:
        self._waiting.put_nowait(None)
