"""The handlers of the Voices tab. The owner comes from the request; ids come from the page and are checked with it."""

import asyncio
import html
import os
from collections.abc import AsyncGenerator, Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from avatar import consent
from avatar.engines.calls import PITCH_ONLY
from avatar.errors import AvatarError
from avatar.owners import OwnerOf
from avatar.ui.handlers import language_for, steps, warn
from avatar.ui.strings import say
from avatar.ui.voice_fragments import asked, player, report, row, spoken, verdict

if TYPE_CHECKING:
    from avatar.drafts import Draft
    from avatar.preview import Previews
    from avatar.studio import Studio

UNCHANGED: Final = [gr.skip()] * 17  # all of the steps (see voices.py)


class ListEvents:
    """The list on the left. Those that block on the database are no coroutines: Gradio runs them in threads."""

    def __init__(self, studio: "Studio", previews: "Previews", owner_of: OwnerOf) -> None:
        self.studio, self.previews, self.owner_of = studio, previews, owner_of

    def profiles_listed(self, chosen: str | None, request: gr.Request) -> tuple[Any, Any]:
        """-> list, note. The one that is chosen stays."""
        owner, language = self.owner_of(request), language_for(request)
        try:
            profiles, default = self.studio.voices.of(owner), self.studio.voices.default(owner)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip()
        rows = [(row(profile, default, language), profile.id) for profile in profiles]
        kept = chosen if chosen in {value for _, value in rows} else None
        note = "" if rows else f'<p class="av-note">{html.escape(say("v_none", language))}</p>'
        return gr.Radio(rows, value=kept, visible=bool(rows)), note

    def shown(self, chosen: str | None, request: gr.Request) -> tuple[Any, ...]:
        """-> buttons, use, export, rename, delete, name, question: what can be done with the chosen one."""
        shut = gr.Textbox(visible=False), gr.Column(visible=False)
        hidden = gr.Row(visible=False), *[gr.skip()] * 4, *shut
        if not chosen:
            return hidden
        owner, language = self.owner_of(request), language_for(request)
        try:
            profile, default = self.studio.voices.get(owner, chosen), self.studio.voices.default(owner)
        except AvatarError as exc:
            warn(exc, request)
            return hidden
        self.studio.expect(owner, chosen)
        use = say("v_unuse" if chosen == default else "v_use", language)
        own = not profile.starter
        export = gr.Button(link=f"avatar/voices/export/{profile.id}", visible=own)
        return gr.Row(visible=True), gr.Button(use), export, gr.Button(visible=own), gr.Button(visible=own), *shut

    @steps
    async def preview(self, chosen: str | None, text: str, request: gr.Request) -> AsyncGenerator[Any, None]:
        """-> player, what was spoken. The sound plays while it is made."""
        language = language_for(request)
        try:
            preview = await self.previews.begin(self.owner_of(request), chosen or "", text or "")
            await preview.begun()
            if preview.error is None:
                yield player(preview.id, language), ""
            if preview.task is not None:
                # not awaited itself: its cancellation is not ours, which would end no event of the page
                await asyncio.wait((preview.task,))
                if preview.task.cancelled():  # the voice was deleted, or another preview takes its place
                    return
                preview.task.result()
            if preview.error is not None:
                raise preview.error
        except AvatarError as exc:
            warn(exc, request)
            yield "", ""
            return
        clones = not preview.engine.endswith(PITCH_ONLY)
        yield gr.skip(), spoken(preview.engine, preview.likeness, clones, language)

    def use(self, chosen: str | None, request: gr.Request) -> None:
        """The chosen one becomes the default, or is it no longer."""
        owner, voices = self.owner_of(request), self.studio.voices
        try:
            wanted = "" if voices.default(owner) == chosen else chosen or ""
            voices.set_default(owner, wanted)
        except AvatarError as exc:
            warn(exc, request)
            return
        gr.Info(say("v_defaulted" if wanted else "v_undefaulted", language_for(request)), title="")

    def ask_voice_name(self, chosen: str | None, request: gr.Request) -> Any:
        """-> name, holding the present one."""
        try:
            return gr.Textbox(self.studio.voices.get(self.owner_of(request), chosen or "").name, visible=True)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip()

    def rename_voice(self, chosen: str | None, name: str, request: gr.Request) -> None:
        try:
            self.studio.voices.rename(self.owner_of(request), chosen or "", name or "")
        except AvatarError as exc:
            warn(exc, request)

    def ask_voice_delete(self, chosen: str | None, request: gr.Request) -> tuple[Any, Any]:
        """-> question, its words, which name what goes."""
        try:
            profile = self.studio.voices.get(self.owner_of(request), chosen or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip()
        words = html.escape(say("v_delete_ask", language_for(request), name=profile.name))
        return gr.Column(visible=True), f'<p class="av-ask" role="alert">{words}</p>'

    def delete_voice(self, chosen: str | None, request: gr.Request) -> tuple[Any, Any]:
        """-> player, what was spoken: emptied."""
        owner = self.owner_of(request)
        try:
            self.studio.voices.delete(owner, chosen or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip()
        self.previews.forget(owner)
        gr.Info(say("v_deleted", language_for(request)), title="")
        return "", ""


class NewEvents:
    """The three steps on the right."""

    def __init__(self, studio: "Studio", owner_of: OwnerOf) -> None:
        self.studio, self.owner_of = studio, owner_of

    async def voice_recorded(self, path: str | None, request: gr.Request) -> Any:
        """-> all of the steps (see voices.py). The file stays until the voice is saved: the page shows its waveform."""
        if path is None:
            return UNCHANGED
        return await self._opened(self.studio.open(self.owner_of(request), Path(path)), request)

    async def uploaded(self, path: str | None, request: gr.Request) -> Any:
        """-> the same, of any file with sound in it."""
        if path is None:
            return UNCHANGED
        opened = await self._opened(self.studio.open(self.owner_of(request), Path(path)), request)
        _remove(path)
        return opened

    async def imported(self, path: str | None, request: gr.Request) -> Any:
        """-> the same, of a voice that was exported."""
        if path is None:
            return UNCHANGED
        opened = await self._opened(self.studio.open_archive(self.owner_of(request), Path(path)), request)
        _remove(path)
        return opened

    async def _opened(self, opening: Awaitable["Draft"], request: gr.Request) -> list[Any]:
        language = language_for(request)
        try:
            draft = await opening
        except AvatarError as exc:
            warn(exc, request)
            return ["", gr.Column(visible=False), *[gr.skip()] * 15]
        whose = "permitted" if draft.whose == "permitted" else "mine"
        return [
            draft.id,
            gr.Column(visible=True),
            self._report(draft, request),
            gr.Slider(0, round(draft.duration_s, 2), round(draft.start_s, 2)),
            gr.Slider(0, round(draft.duration_s, 2), round(draft.end_s, 2)),
            draft.words,
            draft.language,
            draft.name,
            draft.note,
            whose,
            gr.Textbox("", visible=whose == "permitted"),
            gr.Column(visible=whose == "mine"),
            f'<p class="av-note">{html.escape(say("v_proof_why", language))}</p>',
            _agreement(whose, "", language),
            False,
            gr.Button(say("v_save_agree", language), interactive=False),
            gr.Audio(None, visible=False),
        ]

    def _report(self, draft: "Draft", request: gr.Request) -> str:
        return report(draft, language_for(request), self.studio.alike(self.owner_of(request), draft))

    def cleared(self, draft_id: str, request: gr.Request) -> tuple[Any, Any]:
        """-> draft, steps."""
        self.studio.drop(self.owner_of(request), draft_id)
        return "", gr.Column(visible=False)

    async def cut(self, draft_id: str, start_s: float, end_s: float, request: gr.Request) -> tuple[Any, ...]:
        """-> report, start, end, words, proof."""
        owner, language = self.owner_of(request), language_for(request)
        try:
            draft = await self.studio.cut(owner, draft_id, float(start_s), float(end_s))
        except AvatarError as exc:
            warn(exc, request)
            try:
                kept = self.studio.draft(owner, draft_id)
            except AvatarError:
                return (gr.skip(),) * 5
            return gr.skip(), round(kept.start_s, 2), round(kept.end_s, 2), gr.skip(), gr.skip()
        why = f'<p class="av-note">{html.escape(say("v_proof_why", language))}</p>'
        return self._report(draft, request), round(draft.start_s, 2), round(draft.end_s, 2), draft.words, why

    def consenting(self, draft_id: str, whose: str, person: str, agreed: bool, request: gr.Request) -> tuple[Any, ...]:
        """-> person, proof, text of the consent, save."""
        language, named = language_for(request), bool((person or "").strip())
        whose = "permitted" if whose == "permitted" else "mine"
        lacks = "v_save_clip" if not draft_id else "v_save_person" if whose == "permitted" and not named else ""
        lacks = lacks or ("" if agreed else "v_save_agree")
        return (
            gr.Textbox(visible=whose == "permitted"),
            gr.Column(visible=whose == "mine"),
            _agreement(whose, person or "", language),
            gr.Button(say(lacks or "v_save", language), interactive=not lacks),
        )

    def sentence(self, draft_id: str, tongue: str, request: gr.Request) -> tuple[Any, Any, Any]:
        """-> its id, the sentence, the recorder."""
        owner = self.owner_of(request)
        try:
            self.studio.draft(owner, draft_id)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), gr.skip()
        challenge = self.studio.sentence(owner, tongue or "en")
        return challenge.id, asked(challenge.sentence, language_for(request)), gr.Audio(None, visible=True)

    async def prove(self, draft_id: str, sentence_id: str, path: str | None, request: gr.Request) -> tuple[Any, Any]:
        """-> what came of it, the recorder."""
        if path is None:
            return gr.skip(), gr.skip()
        try:
            draft = await self.studio.prove(self.owner_of(request), draft_id, sentence_id, Path(path))
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.Audio(None)
        finally:
            _remove(path)
        shown = gr.skip() if draft.proved is None else verdict(draft.proved, language_for(request))
        return shown, gr.Audio(None, visible=False)

    def save(
        self,
        draft_id: str,
        name: str,
        words: str,
        tongue: str,
        whose: str,
        person: str,
        note: str,
        agreed: bool,
        clip: str | None,
        request: gr.Request,
    ) -> tuple[Any, ...]:
        """-> list, draft, steps, clip. What was refused stays where it is."""
        language = language_for(request)
        try:
            if agreed is not True:
                raise AvatarError(say("v_save_agree", "en"), code="NO_CONSENT")
            profile = self.studio.save(
                self.owner_of(request),
                draft_id,
                name=name or "",
                words=words or "",
                language=tongue or "en",
                whose=whose,
                person=person or "",
                note=note or "",
            )
        except AvatarError as exc:
            warn(exc, request)
            return (gr.skip(),) * 4
        if clip is not None:
            _remove(clip)
        gr.Info(say("v_saved", language), title="")
        return gr.Radio([(profile.name, profile.id)], value=profile.id), "", gr.Column(visible=False), None


def _agreement(whose: str, person: str, language: str) -> str:
    words = consent.TEXTS[consent.VERSION][whose][language].replace("{person}", person.strip() or "…")
    return f'<p class="av-proof">{html.escape(words)}</p>'


def _remove(path: str) -> None:
    """Gradio's copy of what was uploaded. Only in Gradio's own folder: the path comes from the page."""
    file, home = Path(path).resolve(), os.environ.get("GRADIO_TEMP_DIR")
    if home and file.is_relative_to(Path(home).resolve()):
        file.unlink(missing_ok=True)
