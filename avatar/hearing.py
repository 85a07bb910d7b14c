"""The user's side of a live session: microphone frames in; words, pauses, utterances and interruptions out.

Knows no socket, no database, and of a reply only its sound. Everything but the models runs in the event loop; time is
counted in received samples, so a slow machine or a stalled page never ends a turn by itself.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from avatar.errors import AvatarError
from avatar.events import Samples
from avatar.heard import Heard
from avatar.listener import Listener, Utterance
from avatar.log import unquoted
from avatar.looks import Looks
from avatar.pipeline import Pipeline
from avatar.turntaking.bargein import ECHO_LIKENESS, NORMAL, has_words
from avatar.turntaking.endpointing import Decision, decide, likely
from avatar.turntaking.habit import Habit
from avatar.turntaking.overlap import Air, Overlap
from avatar.turntaking.reasons import Reason, What
from avatar.turntaking.smartturn import NeverSure, SmartTurn
from avatar.turntaking.voice import MIC_RATE, Full, Onset, Pause, Resume, VoiceActivity

log = logging.getLogger(__name__)

# A pause is reported at each of these. At the first the words are written down, and the answer begins if they can be
# all. At the second Smart Turn looks, and a voice over the reply is judged; at the others Smart Turn looks again. A
# look at 64 ms would win nothing: no first clause is written before 250 ms, and the two slow each other down.
PAUSES_MS = (64, 160, 320, 480)
LOOK_MS, LAST_MS = PAUSES_MS[1], PAUSES_MS[-1]
LEAST_MS = LOOK_MS  # of silence before any answer: pauses inside words are shorter
PARTIAL_MS = 600  # between partial transcripts of a running utterance
PARTIAL_SHARE = 5  # and at least this many times what the last one took: a fifth of one core at most per speaker
COMMIT_MS = 5_000  # words before a pause are final once so much speech precedes it: hearing 20 s again takes 0.6 s


class Hearing:
    def __init__(
        self,
        pipeline: Pipeline,
        activity: VoiceActivity,
        smart_turn: SmartTurn | None,
        listener: Listener,
        *,
        patience_ms: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline, self._activity, self._smart_turn = pipeline, activity, smart_turn or NeverSure()
        self._listener, self._clock = listener, clock
        self.patience_ms = patience_ms
        self.sensitivity = NORMAL
        self.language: str | None = None
        self._air = Air()  # the reply that the microphone may hear
        self._overlap: Overlap | None = None  # the voice that is heard, while it began over a reply and is not judged
        self._held = False
        self._finishing = False  # the utterance is over; its last words are being written down
        self._heard = Heard()
        self._looks = Looks(self._failed)  # partial transcripts, decisions, judgements
        # At the newest breath: _decide waits for its words, and tells its errors. Slow ears would hear old ones first.
        self._ahead = Looks(lambda error: None)
        self._decision: Decision | None = None
        self._hear_ms = self._next_partial_ms = 0.0
        self._habit = Habit()
        self._merged_pause_ms = 0.0  # the pause that was answered too early, when this utterance goes on after it
        self._onset_at = self._ended_at = 0.0

    # -- from the conversation --------------------------------------------------------------------------------------
    def mic(self, pcm16: bytes) -> None:
        """Frames of int16 at 16 kHz, in order, in real time."""
        for event in self._activity.push(pcm16):
            match event:
                case Onset():
                    self._on_onset(event.at)
                case Pause():
                    self._on_pause(event.silence_ms)
                case Resume() if not self._finishing:
                    self._on_resume(event.after_ms)
                case Full():
                    self._listener.on_too_long()
                    self._finish("too long")
        if self._activity.speaking and not self._held and not self._finishing:
            self._step()

    @property
    def speaking(self) -> bool:
        """Whether something is being said."""
        return self._activity.speaking

    def guard(self, in_air: Callable[[], Samples] | None) -> None:
        """While a reply is on its way, a voice is judged before it counts. `in_air`: its audio now, at REPLY_RATE."""
        if in_air is not None:
            self._air.reply(in_air)
            self._forget()
        else:
            self._air.over(self._activity.position)
            self._overlap = None

    def hold(self, on: bool) -> None:
        """Space held: the utterance ends when it is released, and not before."""
        self._held = on
        if not on and self._activity.speaking:
            self._finish("released")

    def reset(self) -> None:
        """Forget what is being said."""
        self._forget()
        self._held, self._merged_pause_ms = False, 0.0

    # -- voice events -----------------------------------------------------------------------------------------------
    def _on_onset(self, at: int) -> None:
        self._looks.cancel()
        self._heard, self._decision, self._overlap = Heard(), None, self._air.onset(at)
        self._onset_at = self._clock() - self._activity.since_onset_ms / 1000
        self._next_partial_ms = PARTIAL_MS
        if self._overlap is None:
            self._merged_pause_ms = 0.0
        else:
            self._merged_pause_ms = (self._onset_at - self._ended_at) * 1000
            self._listener.on_voice_over_reply()

    def _on_pause(self, silence_ms: int) -> None:
        self._ended_at = self._clock() - silence_ms / 1000
        if self._held or self._finishing:
            return
        if self._overlap is not None:
            if silence_ms >= LOOK_MS:
                self._looks.start(self._judge(self._overlap, over=True))
        elif silence_ms < LOOK_MS:
            self._looks.cancel()
            self._ahead.start(self._listen_ahead())
        elif self._decision is not None:
            self._looks.start(self._decide(silence_ms, again=True))
        elif not self._looks.busy:
            self._looks.start(self._decide(silence_ms, again=False))

    def _on_resume(self, after_ms: int) -> None:
        if self._overlap is None:
            self._habit.went_on(after_ms)
            self._looks.cancel()
        if self._decision is not None and self._heard.tail and self._activity.since_onset_ms > COMMIT_MS:
            self._heard = self._heard.kept_whole()
        self._decision = None
        self._listener.on_resumed()

    def _step(self) -> None:
        """After each frame of a running utterance: is anything due?"""
        activity, busy = self._activity, self._looks.busy
        if self._overlap is not None:
            if not busy and activity.since_onset_ms >= self._overlap.due_ms:
                self._looks.start(self._judge(self._overlap, over=False))
        elif self._decision is not None:
            if not busy and activity.silence_ms >= self._due_ms(self._decision):
                self._end(self._decision)
        elif not busy and activity.silence_ms == 0 and activity.since_onset_ms >= self._next_partial_ms:
            self._looks.start(self._partial())

    # -- looks ------------------------------------------------------------------------------------------------------
    def _failed(self, error: BaseException) -> None:
        self._forget()
        if not isinstance(error, AvatarError):
            log.error("hearing failed: %s", unquoted(error))
            error = AvatarError("Something went wrong while listening. Please say it again.")
        self._listener.on_failure(error)

    async def _partial(self) -> None:
        started, before = self._clock(), self._heard.tail
        await self._transcribe()
        self._listener.on_part(self._activity.utterance(), self._heard.words)
        took_ms = (self._clock() - started) * 1000
        self._next_partial_ms = self._activity.since_onset_ms + max(PARTIAL_MS, PARTIAL_SHARE * took_ms)
        self._tell_words(before)

    def _tell_words(self, before: str) -> None:
        """`before` is the tail of the last look."""
        if has_words(self._heard.words) and not self._echoes():
            self._listener.on_words(*self._heard.settled(before))

    async def _listen_ahead(self) -> None:
        """At the first breath of silence: the words are then known when the pause is long enough to decide."""
        heard, before, upto = self._heard, self._heard.tail, self._activity.position
        await self._transcribe()
        if heard is self._heard and self._activity.speaking:
            self._next_partial_ms = self._activity.since_onset_ms + PARTIAL_MS
            # a newer pause has a look of its own, with newer words
            paused_since = self._activity.position - self._activity.silence_ms * MIC_RATE // 1000 <= upto
            if paused_since and self._activity.pausing:
                self._tell_likely()
            self._tell_words(before)

    def _tell_likely(self) -> None:
        heard = self._heard
        if has_words(heard.words) and likely(heard.words) and not self._echoes():
            self._listener.on_likely(heard.words, heard.language, self._activity.utterance())

    async def _decide(self, silence_ms: int, again: bool) -> None:
        """At a soft pause: has the user finished? `again`: the words are known, only Smart Turn looks once more."""
        started = self._clock()
        smart = asyncio.to_thread(self._smart_turn.probability, self._activity.utterance(None))
        if again:
            probability = await smart
        else:
            probability, _ = await asyncio.gather(smart, self._all_words())
        self._hear_ms = (self._clock() - started) * 1000
        if self._echoes():
            self._nobody("nothing", "echo", silence_ms)
            return
        self._decision = decision = decide(
            probability,
            self._heard.words,
            silence_ms=silence_ms,
            voiced_ms=self._activity.voiced_ms,
            patience_ms=self.patience_ms,
            longest_pause_ms=max(self._activity.longest_pause_ms, round(self._merged_pause_ms)),
            habit_ms=self._habit.wait_ms,
        )
        if self._activity.silence_ms >= self._due_ms(decision):
            self._end(decision)
            return
        if not decision.sure:
            self._reason("wait", decision.why, decision.wait_ms, decision.probability, decision.needed)
        if silence_ms >= LAST_MS:  # patience will end before long
            self._listener.on_likely(self._heard.words, self._heard.language, self._activity.utterance())
        elif not decision.sure and not again:
            self._listener.on_words(self._heard.words, "")
            self._listener.on_pausing(decision.wait_ms - self._activity.silence_ms)

    async def _all_words(self) -> None:
        """Those that `_listen_ahead` heard; where no turn ends with them, what is heard now: a last soft consonant is
        sometimes missing after 64 ms ("a bear or a")."""
        if not await self._ahead.finished() or not likely(self._heard.words):
            await self._transcribe()
            self._tell_likely()

    @staticmethod
    def _due_ms(decision: Decision) -> int:
        """Silence after which to answer."""
        return LEAST_MS if decision.sure else max(decision.wait_ms, LEAST_MS)

    async def _judge(self, overlap: Overlap, *, over: bool) -> None:
        """A voice over the reply: is it someone who wants to speak? `over`: it has fallen silent."""
        activity = self._activity
        overlap.compare(activity.utterance(0), self._air.sound())  # before the await: of this moment
        await self._transcribe()
        words, voiced_ms = self._heard.words, activity.voiced_ms
        over = over and activity.pausing  # who has gone on meanwhile is not forgotten with what they said first
        judgement = overlap.judge(words, voiced_ms=voiced_ms, over=over, sensitivity=self.sensitivity)
        likeness_asked = (overlap.echo, ECHO_LIKENESS) if judgement.why == "echo" else ()
        if judgement.verdict == "interrupt":
            self._overlap = None
            continuing = self._listener.on_interrupting(self._onset_at)
            self._air.no_echo()
            self._reason("continue" if continuing else "interrupt", judgement.why, voiced_ms)
            if continuing:
                self._habit.cut_off(self._merged_pause_ms)
            else:
                self._merged_pause_ms = 0.0
            self._listener.on_words("", words)
            if activity.pausing:  # the pause was reported while the voice was being judged
                self._looks.start(self._decide(activity.silence_ms, again=False))
        elif judgement.verdict == "ignore":
            self._nobody("kept", judgement.why, voiced_ms, *likeness_asked)
        else:
            overlap.look_later(activity.since_onset_ms)

    def _echoes(self) -> bool:
        return self._air.echoes(self._activity.utterance(0))

    def _nobody(self, what: What, why: str, ms: float, *likeness: float) -> None:
        """Nobody wanted to speak."""
        self._forget()
        self._reason(what, why, ms, *likeness)
        self._listener.on_not_interrupting(self._onset_at)

    def _finish(self, why: str) -> None:
        """End the utterance now, whatever it is: what is heard from now on does not put it off."""
        self._finishing, self._ended_at = True, self._clock() - self._activity.silence_ms / 1000
        self._looks.start(self._last_words(why))

    async def _last_words(self, why: str) -> None:
        started = self._clock()
        await self._transcribe()
        self._hear_ms = (self._clock() - started) * 1000
        self._end(Decision(0, True, why))

    async def _transcribe(self) -> None:
        await self._heard.hear(self._pipeline, self._activity.utterance(), self.language)

    def _end(self, decision: Decision) -> None:
        heard, samples, silence_ms = self._heard, self._activity.utterance(), self._activity.silence_ms
        self._forget()
        if not has_words(heard.words):
            self._reason("nothing", "no words", silence_ms)
            self._listener.on_nothing_heard()
            return
        self._habit.turn_over()
        what: What = "answer" if decision.sure else "patience"
        self._reason(what, decision.why, silence_ms, decision.probability, decision.needed)
        utterance = Utterance(
            samples=samples,
            words=heard.words,
            language=heard.language,
            ended_at=self._ended_at,
            decided_at=self._clock(),
            sure=decision.sure,
            hear_ms=self._hear_ms if decision.sure else 0.0,
            engine=heard.engine,
        )
        self._listener.on_utterance(utterance)

    def _reason(self, what: What, why: str, ms: float, probability: float = 0.0, needed: float = 0.0) -> None:
        self._listener.on_reason(Reason(self._clock(), what, why, round(ms), probability, needed))

    def _forget(self) -> None:
        self._looks.cancel()
        self._ahead.cancel()
        self._activity.end()
        self._heard, self._decision, self._overlap, self._finishing = Heard(), None, None, False
