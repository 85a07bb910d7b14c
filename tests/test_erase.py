"""Erasing everything of an owner: nothing of theirs is left in any file of the data folder, and all of others' is."""

from pathlib import Path

import numpy as np
import pytest
from assistants import make_assistant, put_away
from voice_profiles import CONSENT, found, kept

from avatar.errors import AvatarError, NotFound
from avatar.settings import Settings
from avatar.store import Turn

ANN = "ann@quux.test"


async def filled(settings: Settings, make_pool: object, owner: str, word: str) -> tuple[object, list[bytes]]:
    """An assistant with all kinds of things of one owner; and bytes of each, to be looked for."""
    assistant = make_assistant(settings, make_pool, profiles=True)
    store, studio = assistant.store, assistant.studio
    assert studio is not None
    sound = np.random.default_rng(len(word)).bytes(5000)
    ours = store.create_conversation(owner, f"{word} title")
    audio = {side: store.save_audio(lambda path: path.write_bytes(sound)) for side in ("user_audio", "reply_audio")}
    turn = Turn(user_text=f"{word} 天氣", reply_text=f"{word} reply", state="done", voice=f"{word}-voice", **audio)
    row = store.add_turn(owner, ours, turn)
    store.keep_take(row.id, store.save_audio(lambda path: path.write_bytes(sound[::-1])))
    store.set_persona(owner, ours, f"{word} persona")
    assistant.fork(owner, row.id, "", "fast")
    store.create_conversation(owner, f"{word} begun")  # without a turn
    assistant.say_as(owner, f"{word}SQL", f"{word} sequel")
    print_of_voice = np.random.default_rng(1 + len(word)).normal(0, 1, 256).astype("<f4").tobytes()
    person = {**CONSENT, "owner": owner, "whose": "permitted", "person": f"{word} Senior"}
    profile = kept(studio.voices, owner, seed=len(word), name=f"{word} name", reference_text=f"{word} words",
                   note=f"{word} note", embedding=print_of_voice, consent=person)  # fmt: skip
    cache = studio.voices.voice(owner, profile.id).cache
    assert cache is not None
    (cache / "pocket-1.safetensors").write_bytes(sound[:999])
    studio.voices.set_default(owner, profile.id)
    store.set_voice(owner, ours, f"profile:{profile.id}")
    recording = studio.voices.clip(owner, profile.id)
    needles = [word.encode(), owner.encode(), sound[:50], sound[::-1][:50], print_of_voice[:40], recording[-5000:-4900]]
    return assistant, [*needles, profile.sha256.encode()]


async def test_nothing_of_one_owner_is_left_and_all_of_another(
    settings: Settings, make_pool: object, tmp_path: Path
) -> None:
    assistant, hers = await filled(settings, make_pool, ANN, "wilhelmina")
    put_away(assistant)
    assistant, his = await filled(settings, make_pool, "bob", "theodore-long")
    assistant.studio.voices.set_default("bob", assistant.studio.voices.of("bob")[0].id)
    assert {needle for _, needle in found(settings.data, hers)} == {*hers}
    kept_of_bob = {needle for _, needle in found(settings.data, his)}
    archive = assistant.exports.everything(ANN)
    assistant.erase(ANN)
    archive.unlink()  # as it is when it was sent
    assert found(settings.data, hers) == []
    assert {needle for _, needle in found(settings.data, his)} == kept_of_bob == {*his}
    with pytest.raises(NotFound):
        assistant.exports.everything(ANN)
    assert assistant.studio.voices.of(ANN) == [] and assistant.studio.voices.default(ANN) == ""
    put_away(assistant)
    assert found(settings.data, hers) == []


async def test_a_default_that_comes_with_the_product_is_forgotten_too(settings: Settings, make_pool: object) -> None:
    assistant, _ = await filled(settings, make_pool, ANN, "x")
    assistant.store.profiles.set_default(ANN, "starter-clara")
    assistant.erase(ANN)
    assert found(settings.data, [ANN.encode()]) == []
    put_away(assistant)


async def test_nothing_is_erased_while_its_owner_talks(settings: Settings, make_pool: object) -> None:
    assistant, hers = await filled(settings, make_pool, ANN, "wilhelmina")

    class Talking:
        owner = ANN

    assistant.live["l"] = Talking()
    with pytest.raises(AvatarError) as refused:
        assistant.erase(ANN)
    assert refused.value.code == "ERASE_LIVE" and {needle for _, needle in found(settings.data, hers)} == {*hers}
    del assistant.live["l"]
    put_away(assistant)
