"""The mark of AI speech: in the files that AVATAR writes, in copies of them, and in none that it did not write."""

import io
from datetime import UTC, datetime
from pathlib import Path

import av
import pytest
from audio_files import tone

from avatar.audio import write_opus
from avatar.provenance import tags
from avatar.verify import examine, main

MARKS = tags("Pocket TTS", datetime(2026, 11, 25, 12, tzinfo=UTC), "0f" * 16)


@pytest.fixture
def reply(tmp_path: Path) -> Path:
    write_opus(tmp_path / "reply.opus", tone(1.5, 24_000), 24_000, MARKS)
    return tmp_path / "reply.opus"


def remuxed(source: Path, to: Path, packets: int | None = None) -> Path:
    """The same sound and tags in another file, or the first `packets` of them."""
    buffer = io.BytesIO()
    with av.open(str(source)) as old, av.open(buffer, "w", format=to.suffix[1:]) as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        new.metadata.update({**old.metadata, **old.streams.audio[0].metadata})
        for packet in [p for p in old.demux(audio=0) if p.size][:packets]:
            packet.stream = stream
            new.mux(packet)
    to.write_bytes(buffer.getvalue())
    return to


def test_a_reply_is_marked(reply: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(reply)]) == 0
    said = capsys.readouterr().out
    for part in ("marked as AI speech, by Pocket TTS", "0f" * 16, "2026-11-25T12:00:00+00:00", "sound unchanged"):
        assert part in said


def test_the_mark_survives_a_change_of_the_container(reply: Path, tmp_path: Path) -> None:
    found = examine(remuxed(reply, tmp_path / "copy.matroska"))
    assert found.marked and found.unchanged


def test_a_sound_that_was_cut_is_marked_and_said_to_be_changed(
    reply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(remuxed(reply, tmp_path / "cut.ogg", 20))]) == 0
    assert "sound changed since" in capsys.readouterr().out


def test_what_nobody_marked_is_not_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_opus(tmp_path / "me.opus", tone(0.5), 16_000, {})
    assert main([str(tmp_path / "me.opus")]) == 1 and "not marked" in capsys.readouterr().out
    assert main([str(Path(__file__).parent / "data/speech/jfk.flac")]) == 1
    for bad in (tmp_path / "none.wav", Path(__file__)):
        assert main([str(bad)]) == 1
    assert "no sound that can be read" in capsys.readouterr().err
