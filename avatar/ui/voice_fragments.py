"""Read-only markup of the Voices tab: a voice in the list, the report on a recording, what came of a proof.

Pure functions. Every name and every word that comes from outside is escaped here.
"""

import html
from collections.abc import Mapping

from avatar.clip import SPEAKERS_S, Finding, Quality
from avatar.consent import Verdict
from avatar.drafts import Draft
from avatar.profiles import Profile
from avatar.speaker import SAME
from avatar.ui.fragments import icon
from avatar.ui.strings import STRINGS, say

LANGUAGES = {"en": "English", "zh": "中文"}  # others by their code
_ICONS = {"fine": ("ok", "ready"), "warn": ("mind", "failed"), "refuse": ("bad", "failed")}
_SCALES: Mapping[str, tuple[float, str]] = {  # of a finding's value, as its sentence says it
    "length": (1, ".1f"),
    "speech": (100, ".0f"),
    "noise": (1, ".0f"),
    "clipping": (100, ".1f"),
    "bandwidth": (0.001, ".1f"),
    "level": (1, ".0f"),
}


def row(profile: Profile, default: str, language: str) -> str:
    """One choice of the list. A Radio shows text, so nothing is escaped."""
    parts = [profile.name, say(f"v_{profile.consent.get('whose', 'mine')}", language)]
    parts += [LANGUAGES.get(profile.language, profile.language), f"{profile.end_s - profile.start_s:.1f} s"]
    if "score" in profile.quality:
        parts.append(say("v_quality", language, score=profile.quality["score"]))
    if profile.id == default:
        parts.append(say("v_default", language))
    return " · ".join(parts)


def report(draft: Draft, language: str, alike: Profile | None) -> str:
    """Step 2: the score, and each finding with what to do better; the part that is imitated, to hear."""
    quality = draft.quality
    items = [_finding(finding, language) for finding in quality.findings]
    if quality.one_speaker is None:
        why = "short" if quality.speech_s < SPEAKERS_S else "unknown"
        items.append(_item("mind", say(f"q_speakers_{why}", language, min=f"{SPEAKERS_S:.0f}")))
    if alike is not None:
        items.append(_item("mind", say("v_alike", language, name=alike.name)))
    heading = f'<p class="av-h">{html.escape(say("v_sounds", language))}</p>'
    part = html.escape(say("v_part", language))
    source = f"avatar/voices/draft/{html.escape(draft.id)}#t={draft.start_s:.2f},{draft.end_s:.2f}"
    player = f'<audio class="av-part" controls preload="metadata" aria-label="{part}" src="{source}"></audio>'
    return f'{heading}<div class="av-q">{_score(quality, language)}<ul>{"".join(items)}</ul></div>{player}'


def _score(quality: Quality, language: str) -> str:
    tone = "hear" if quality.usable and quality.score >= 50 else "think" if quality.usable else "fault"
    label = html.escape(say("v_score", language, score=quality.score))
    filled = 257.6 * quality.score / 100  # of the circle's length
    return (
        f'<svg class="av-score" viewBox="0 0 96 96" role="img" aria-label="{label}">'
        '<circle cx="48" cy="48" r="41" fill="none" stroke="var(--av-sunk)" stroke-width="9"/>'
        f'<circle cx="48" cy="48" r="41" fill="none" stroke="var(--av-{tone})" stroke-width="9" stroke-linecap="round" '
        f'stroke-dasharray="{filled:.1f} 258" transform="rotate(-90 48 48)"/>'
        f'<text x="48" y="57">{quality.score}</text></svg>'
    )


def _finding(finding: Finding, language: str) -> str:
    scale, form = _SCALES.get(finding.aspect, (1, ".2f"))
    values = {key: format(scale * value, form) for key, value in finding.values.items()}
    return _item(_ICONS[finding.severity][0], say(finding.code, language, **values), _ICONS[finding.severity][1])


def _item(tone: str, sentence: str, glyph: str = "failed") -> str:
    return f'<li class="{tone}">{icon(glyph)}<div>{html.escape(sentence)}</div></li>'


def asked(sentence: str, language: str) -> str:
    """The sentence to read aloud."""
    words = html.escape(say("v_proof", language, sentence="\0")).replace("\0", f"<q>{html.escape(sentence)}</q>")
    return f'<div class="av-proof">{words}</div>'


def verdict(result: Verdict, language: str) -> str:
    right = round(100 * (1 - result.words_wrong))
    heard = say("v_heard", language, right=right, similarity=f"{result.similarity:.2f}", same=f"{SAME:.2f}")
    if result.passed:
        end = f'<b class="av-good">{html.escape(say("v_proved", language))}</b>'
    else:
        end = html.escape(" ".join(say(code, language) for code in result.codes))
    return f'<div class="av-proof" role="status">{html.escape(heard)} {end}</div>'


def spoken(engine: str, likeness: float | None, clones: bool, language: str) -> str:
    """Below a preview: who spoke, how like the voice it is, and that it is AI speech."""
    sentences = [] if likeness is None else [_likeness(likeness, language)]
    if not clones:
        sentences = [say("v_pitch", language, engine=engine.partition(",")[0])]
    sentences.append(say("v_spoken", language, engine=engine))
    return f'<p class="av-sub" role="status">{html.escape(_joined(sentences, language))}</p>'


def player(preview_id: str, language: str) -> str:
    label = html.escape(STRINGS[language]["reply_audio"])
    source = f"avatar/voices/preview/{html.escape(preview_id)}"
    return f'<audio class="av-part" controls autoplay aria-label="{label}" src="{source}"></audio>'


def _likeness(likeness: float, language: str) -> str:
    return say("v_like", language, pct=round(100 * likeness), same=round(100 * SAME))


def _joined(sentences: list[str], language: str) -> str:
    return ("" if language.startswith("zh") else " ").join(sentences)
