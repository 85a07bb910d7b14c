"""The Voices tab: the list on the left, three steps to a new voice on the right. Lays out and connects.

What the steps do, `voice_events.py` says; what a voice is, `Studio` knows.
"""

from typing import TYPE_CHECKING, Any, Final, Literal

import gradio as gr

from avatar.owners import OwnerOf
from avatar.profiles import MAX_NAME, MAX_NOTE, MAX_WORDS
from avatar.ui.fragments import fragment
from avatar.ui.handlers import QUICK
from avatar.ui.strings import T
from avatar.ui.voice_events import ListEvents, NewEvents
from avatar.ui.voice_fragments import LANGUAGES
from avatar.voice_archive import SUFFIX

if TYPE_CHECKING:
    from avatar.preview import Previews
    from avatar.studio import Studio

# Judging a recording keeps a core busy for a second: two at once, whoever asks.
WORK: Final[dict[str, Any]] = {**QUICK, "concurrency_limit": 2, "concurrency_id": "studio", "show_progress": "minimal"}
_WAVES: Final = gr.WaveformOptions(waveform_color="#8d887c", waveform_progress_color="#169a7f")
_JUDGING: Final = """() => '<p class="av-note av-busy" role="status" data-t="v_judging"></p>'"""
_SMALL: Final[dict[str, Any]] = {"size": "sm", "min_width": 80}


def voices_tab(studio: "Studio", previews: "Previews", owner_of: OwnerOf, tab: gr.Tab) -> None:
    """Lay the tab out; the list is read when the tab is opened."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=320, elem_classes="av-card"):
            listing = _list(ListEvents(studio, previews, owner_of), tab)
        with gr.Column(scale=12, min_width=340, elem_classes="av-card"):
            _new(NewEvents(studio, owner_of), listing, listing["import"])


def _list(on: ListEvents, tab: gr.Tab) -> dict[str, Any]:
    fragment('<h2 class="av-h" data-t="v_yours"></h2>')
    chosen = gr.Radio([], label=T("v_choose"), show_label=False, interactive=True, elem_classes="av-list")
    note = fragment()
    with gr.Row(elem_classes="av-act"):
        text = gr.Textbox(T("v_say_text"), label=T("v_say"), show_label=False, max_length=200, min_width=160)
        preview = gr.Button(T("v_preview"), **_SMALL)
    player, said = fragment(), fragment()
    with gr.Row(elem_id="voice-actions", elem_classes="av-actions", visible=False) as actions:
        use = gr.Button(T("v_use"), **_SMALL)
        export = gr.Button(T("v_export"), link_target="_blank", **_SMALL)
        rename = gr.Button(T("rename"), **_SMALL)
        delete = gr.Button(T("delete"), variant="stop", **_SMALL)
    name = gr.Textbox(label=T("v_new_name"), visible=False, submit_btn=True, lines=1, max_length=MAX_NAME)
    with gr.Column(visible=False, elem_classes="av-card") as asked:
        question = fragment()
        with gr.Row(elem_classes="av-actions"):
            yes = gr.Button(T("v_delete_yes"), variant="stop", **_SMALL)
            no = gr.Button(T("delete_no"), **_SMALL)
    bring = gr.UploadButton(T("v_import"), file_types=[SUFFIX], size="sm")  # type: ignore[arg-type]  # Gradio translates it

    listed: dict[str, Any] = {"fn": on.profiles_listed, "inputs": chosen, "outputs": [chosen, note], **QUICK}
    shown: dict[str, Any] = {
        "fn": on.shown,
        "inputs": chosen,
        "outputs": [actions, use, export, rename, delete, name, asked],
        **QUICK,
    }
    tab.select(**listed).then(**shown)
    chosen.input(**shown)
    gr.on([preview.click, text.submit], on.preview, [chosen, text], [player, said], **QUICK)
    use.click(on.use, chosen, None, **QUICK).then(**listed).then(**shown)
    rename.click(on.ask_voice_name, chosen, name, **QUICK)
    name.submit(on.rename_voice, [chosen, name], None, **QUICK).then(**listed).then(**shown)
    delete.click(on.ask_voice_delete, chosen, [asked, question], **QUICK)
    no.click(lambda: gr.Column(visible=False), None, asked, queue=False, **QUICK)
    yes.click(on.delete_voice, chosen, [player, said], **QUICK).then(**listed).then(**shown)
    return {"listed": listed, "shown": shown, "chosen": chosen, "import": bring}


def _new(on: NewEvents, listing: dict[str, Any], bring: gr.UploadButton) -> None:
    fragment('<h2 class="av-h" data-t="v_add"></h2>')
    draft, sentence = gr.State(""), gr.State("")  # ids; the server asks whose they are
    clip = _recorder(["microphone", "upload"], "v_clip", waveform_options=_WAVES, elem_id="clip")
    other = gr.UploadButton(T("v_file"), size="sm")  # type: ignore[arg-type]
    judging = fragment()
    with gr.Column(visible=False) as steps:
        report = fragment()
        with gr.Row():
            start = gr.Slider(0, 30, 0, step=0.05, label=T("v_from"), min_width=140)
            end = gr.Slider(0, 30, 30, step=0.05, label=T("v_to"), min_width=140)
        words, name, language, note = _description()
        whose = gr.Radio(
            [(T("v_whose_mine"), "mine"), (T("v_whose_other"), "permitted")], value="mine", label=T("v_whose")
        )
        person = gr.Textbox(label=T("v_person"), lines=1, max_length=100, visible=False)
        with gr.Column() as proof:
            asked = fragment('<p class="av-note" data-t="v_proof_why"></p>')
            give = gr.Button(T("v_sentence"), size="sm")
            reading = _recorder(["microphone"], "v_read", visible=False)
        agreement = fragment()
        agree = gr.Checkbox(label=T("v_agree"))
        save = gr.Button(T("v_save_agree"), variant="primary", interactive=False)

    judged: dict[str, Any] = {"fn": None, "inputs": None, "outputs": judging, "js": "() => ''"}
    opened = [draft, steps, report, start, end, words, language, name, note, whose, person, proof, asked, agreement]
    opened += [agree, save, reading]
    gr.on([clip.stop_recording, clip.upload, other.upload, bring.upload], None, None, judging, js=_JUDGING)
    gr.on([clip.stop_recording, clip.upload], on.voice_recorded, clip, opened, **WORK).then(**judged)
    other.upload(on.uploaded, other, opened, **WORK).then(**judged)
    bring.upload(on.imported, bring, opened, **WORK).then(**judged)
    clip.clear(on.cleared, draft, [draft, steps], **QUICK)
    gr.on([start.release, end.release], on.cut, [draft, start, end], [report, start, end, words, asked], **WORK)
    consenting = [draft, whose, person, agree]
    consented = [person, proof, agreement, save]
    gr.on([whose.input, person.input, agree.input], on.consenting, consenting, consented, **QUICK)
    give.click(on.sentence, [draft, language], [sentence, asked, reading], **QUICK)
    reading.stop_recording(on.prove, [draft, sentence, reading], [asked, reading], **WORK)
    fields = [draft, name, words, language, whose, person, note, agree, clip]
    kept = save.click(on.save, fields, [listing["chosen"], draft, steps, clip], **WORK)
    kept.then(**listing["listed"]).then(**listing["shown"])


def _recorder(sources: list[Literal["microphone", "upload"]], label: str, **more: Any) -> gr.Audio:
    """Its file is handed on as it came: `Studio` decodes it."""
    return gr.Audio(sources=sources, type="filepath", format=None, label=T(label), buttons=[], **more)


def _description() -> tuple[gr.Textbox, gr.Textbox, gr.Dropdown, gr.Textbox]:
    """words, name, language, note"""
    words = gr.Textbox(label=T("v_words"), lines=2, max_length=MAX_WORDS)
    with gr.Row():
        name = gr.Textbox(label=T("v_name"), lines=1, max_length=MAX_NAME, min_width=140)
        language = gr.Dropdown(
            [(label, tag) for tag, label in LANGUAGES.items()],
            value="en",
            label=T("v_language"),
            allow_custom_value=True,
            min_width=120,
        )
    return words, name, language, gr.Textbox(label=T("v_note"), lines=1, max_length=MAX_NOTE)
