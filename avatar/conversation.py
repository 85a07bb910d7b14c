"""One live session: what was heard becomes turns, replies are played, interrupted, merged and stored.

Runs in the event loop of the server; knows the wire's messages, but no socket, and no engine by name.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from avatar.answering import Answering, Save
from avatar.chat import Chat, again_id
from avatar.engines.base import Voice
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError
from avatar.events import Samples
from avatar.hearing import Hearing
from avatar.listener import Utterance
from avatar.pipeline import Pipeline
from avatar.saying import NO_SAYINGS
from avatar.text import joined
from avatar.turntaking.bargein import SENSITIVITIES
from avatar.turntaking.reasons import Reason
from avatar.wire import Preferences

CONTINUE_S = 1.2  # a user who goes on within this time of a reply's first sound was not finished
REASONS = 20  # of the newest decisions about turns; a turn makes one to three


class Conversation(Answering):
    """Its listener, and what the page asks of it. `outbox` holds what the page must be told."""

    def __init__(
        self,
        *,
        owner: str,
        live_id: str,
        chat: Chat,
        seat: int,
        pool: EnginePool,
        pipeline: Pipeline,
        make_hearing: Callable[["Conversation"], Hearing],
        save: Save,
        on_activity: Callable[[], None],
        on_renewed: Callable[["Conversation"], Awaitable[None]],
        sayings: Mapping[str, str] = NO_SAYINGS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_renewed` is told when it goes on with a new chat unasked."""
        super().__init__(owner, chat, seat, pipeline, save, sayings, clock)
        self.live_id, self._pool, self._on_activity, self._on_renewed = live_id, pool, on_activity, on_renewed
        self._carry: list[Utterance] = []  # speech whose reply was withdrawn because the user went on
        self._went_on_at = 0.0  # the newest voice over a reply that may go on with what it answers
        self._reasons = deque[Reason](maxlen=REASONS)
        self._hearing = make_hearing(self)

    @property
    def at_rest(self) -> bool:
        """Whether nothing would be lost by ending it now: nobody speaks, and every reply is stored."""
        return self.reply is None and not self._replies and not self._hearing.speaking

    # -- from the page ----------------------------------------------------------------------------------------------
    def mic(self, pcm16: bytes) -> None:
        speaking = self._rest() == "speaking"
        if self._closed or self._muted or self._deaf() or (speaking and self._preferences.half_duplex):
            return
        self._hearing.mic(pcm16)

    def prefer(self, preferences: Preferences) -> None:
        """From now on, and for the next reply; an answer that was begun as a guess is begun anew."""
        self._preferences = preferences
        self._drop_guess()
        if self.chat.language != self._language():
            self.chat.language = self._language()
            self.prepare()
        self._hearing.patience_ms = preferences.patience_ms
        self._hearing.sensitivity = SENSITIVITIES[preferences.bargein]
        self._hearing.language = self._language()
        if self._deaf() or (preferences.half_duplex and self.reply is not None):
            self._forget_speech()
        if self._deaf():
            self.notice(
                "LANGUAGE",
                "The speech recognition in use understands English only, so I am not listening. 中文 needs Whisper: "
                "Status says how to get it. You can type in Chinese, or choose English.",
            )

    def speak_in(self, voice: Voice) -> None:
        """From the next reply on."""
        self.chat.voice = voice
        self._drop_guess()

    def say(self, text: str, client_turn_id: str = "") -> None:
        """Answer typed text; what is being said meanwhile is interrupted."""
        running = client_turn_id and any(r.client_turn_id == client_turn_id for r in self._replies.values())
        if not text.strip() or running or self.chat.has(client_turn_id):
            return
        self._on_activity()
        self.interrupt()
        self._give_up_carry()
        self._answer(text.strip(), [], client_turn_id)

    def again(self) -> None:
        """Answer what was said last once more; the new reply takes the place of the old one. Raises NotFound."""
        self._give_up_carry()
        last = self.chat.last_answered()
        self._on_activity()
        self._drop_guess()
        self.chat.drop(last)
        self._answer(last.user, [], again_id(last.turn_id), last)

    def interrupt(self) -> None:
        if self.reply is not None:
            self._stop(self.reply)

    def mute(self, on: bool) -> None:
        self._muted = on
        self._forget_speech()
        self._give_up_carry()
        self._show(self._rest())

    def hold(self, on: bool) -> None:
        if on:
            self.interrupt()
        self._hearing.hold(on)

    def played(self, turn: int, samples: int) -> None:
        if (reply := self._replies.get(turn)) is not None:
            reply.playback.played(samples)

    def reasons(self) -> list[tuple[float, Reason]]:
        """The newest decisions about turns, newest first, with their age in seconds."""
        now = self._clock()
        return [(now - reason.at, reason) for reason in reversed(self._reasons)]

    def begin_again(self) -> None:
        """A new conversation in the same seat; the old one stays in the history."""
        self.interrupt()
        self._forget_speech()
        self._give_up_carry()
        self._begin_chat()

    async def renew(self) -> None:
        """It was deleted in another window: what is said from now on is a new conversation. A reply that runs was made
        from what was deleted and goes with it; a sentence that is being said is heard to its end."""
        if self.reply is not None:
            self._stop(self.reply, withdrawn=True)
        self._begin_chat()
        await self._tell_renewed()

    async def _tell_renewed(self) -> None:
        self.notice("DELETED", "This conversation was deleted; what you say now begins a new one.")
        await self._on_renewed(self)

    async def close(self) -> None:
        """The page has gone: stop everything, store what was heard. Returns when it is stored."""
        self._closed = True
        self._forget_speech()
        self._give_up_carry()
        self.interrupt()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.outbox.end()

    def _give_up_carry(self) -> None:
        """Speech whose reply was withdrawn is stored as a turn that was interrupted, when nothing will follow it."""
        if self._answer_carry():
            self.interrupt()

    def _answer_carry(self) -> bool:
        """Answer, after all, speech whose reply was withdrawn. Returns whether there was any."""
        pieces, self._carry = self._carry, []
        if pieces:
            self._answer(joined([piece.words for piece in pieces]), pieces)
        return bool(pieces)

    def _forget_speech(self) -> None:
        self._hearing.reset()
        self._understanding.forget()
        self._drop_guess()
        self._unduck()

    def _unduck(self) -> None:
        """No voice is heard over the reply any more."""
        if self.reply is not None:
            self.post("duck", on=False)
            self.reply.playback.undisturbed.set()

    # -- what hearing tells (see listener.Listener) -------------------------------------------------------------------
    def on_words(self, final: str, partial: str) -> None:
        self._on_activity()
        before = [piece.words for piece in self._carry]
        self.post("heard", final=joined([*before, final] if final else before), partial=partial)
        if self.reply is None and self._guess is None:
            self._reader.read(joined([text for text in (*before, final, partial) if text]))

    def on_likely(self, words: str, language: str | None, samples: Samples) -> None:
        """Begin the answer: if the turn is over, it is there sooner; if not, nobody will know."""
        all_words = joined([*(piece.words for piece in self._carry), words])
        if self.reply is None and not (self._guess and self._guess.answers(all_words)):
            self._drop_guess()
            self._guess = self._begin(all_words, language)
            self._understanding.ask(samples, words)

    def on_part(self, samples: Samples, words: str) -> None:
        self._understanding.heard(samples, words)

    def on_pausing(self, wait_ms: int) -> None:
        self._show("pausing", patience_ms=wait_ms)

    def on_resumed(self) -> None:
        self._understanding.went_on()
        self._drop_guess()
        self._show(self._rest())

    def on_voice_over_reply(self) -> None:
        self.post("duck", on=True)
        if self.reply is not None:
            self.reply.playback.undisturbed.clear()

    def on_not_interrupting(self, onset_at: float) -> None:
        if self.continuing(onset_at):
            self._went_on_at = onset_at
        self._unduck()

    def continuing(self, onset_at: float) -> bool:
        """Whether a voice that began at `onset_at` goes on with what the running reply answers."""
        reply = self.reply
        if reply is None or not reply.pieces:
            return False
        first = reply.first_sound_at
        return first is None or onset_at - max(first, self._went_on_at) < CONTINUE_S

    def on_interrupting(self, onset_at: float) -> bool:
        reply, continuing = self.reply, self.continuing(onset_at)
        if reply is not None:
            if continuing:
                self._carry = reply.pieces
                self.post("merged", turn=reply.turn)
            self._stop(reply, withdrawn=continuing)
        return continuing

    def on_utterance(self, utterance: Utterance) -> None:
        self._on_activity()
        self.interrupt()  # a reply that a voice was never judged against: Space was held, or a minute went by
        pieces, self._carry = [*self._carry, utterance], []
        words = joined([piece.words for piece in pieces])
        self.post("heard", final=words, partial="")
        self._answer(words, pieces)

    def on_nothing_heard(self) -> None:
        self._understanding.forget()
        self._drop_guess()
        if self._answer_carry():  # the reply was withdrawn for a voice that said nothing
            return
        self._show(self._rest())
        self.post("heard", final="", partial="")
        self.notice("NOTHING_HEARD", "I heard no words. Is the right microphone chosen?")

    def on_failure(self, error: AvatarError) -> None:
        self._understanding.forget()
        self._drop_guess()
        self._unduck()
        self._show(self._rest())
        self.post("error", code=error.code, text=error.sentence)
        self._answer_carry()  # what was said before that is understood

    def on_reason(self, reason: Reason) -> None:
        self._reasons.append(reason)

    def on_too_long(self) -> None:
        self.notice("TOO_LONG", "That was a minute without a pause, so I answer now. Go on afterwards.")

    def _deaf(self) -> bool:
        language = self._preferences.language
        try:
            return language != "auto" and not self._pool.understands(language)
        except AvatarError:
            return False  # no ears at all: the turn will say so
