"""The sound of stored turns: for its owner, under its address, and nothing else."""

import httpx
from assistants import AUTH


async def stored_turn(here) -> str:
    updates = here.assistant.answer("local" if not here.assistant.settings.auth else "ann", "", "hello", "t1", "auto")
    async for update in updates:
        lines = update.lines
    return lines[-1].turn_id


async def test_a_recording_is_for_its_owner(open_door):
    here = await open_door()
    turn = await stored_turn(here)
    bobs = here.assistant.store.create_conversation("bob")
    async for update in here.assistant.answer("bob", bobs, "mine", "t2", "auto"):
        theirs = update.lines[-1].turn_id
    async with httpx.AsyncClient(base_url=f"http://{here.host}/avatar/audio", trust_env=False) as client:
        sound = await client.get(f"/{turn}/reply")
        assert sound.status_code == 200 and sound.content[:4] == b"OggS"
        assert sound.headers["content-type"] == "audio/ogg" and "private" in sound.headers["cache-control"]
        assert (await client.get(f"/{turn}/reply", headers={"Range": "bytes=0-3"})).content == b"OggS"
        for path in (
            f"/{theirs}/reply",  # exists, and is not ours
            f"/{turn}/user",  # typed: there is no sound
            f"/{turn}/both",
            f"/{turn}/",
            f"/{turn}",
            "/0/reply",
            f"/{turn}%00/reply",
            "/%2e%2e/reply",
            f"/..%2f..%2f{turn}/reply",
            f"/{turn}/reply%2f..%2f..%2favatar.db",
            "/' OR 1=1 --/reply",
            "/%/reply",
        ):
            answer = await client.get(path)
            assert answer.status_code == 404, path
            assert "OggS" not in answer.text and str(here.assistant.settings.data) not in answer.text
        assert (await client.post(f"/{turn}/reply")).status_code == 405


async def test_with_a_password_recordings_need_the_login(open_door):
    here = await open_door(host="0.0.0.0", auth=AUTH)
    here.app.tokens |= {"a-cookie": "ann", "b-cookie": "bob"}
    url = f"http://{here.host}/avatar/audio/{await stored_turn(here)}/reply"
    expected = {"a-cookie": 200, "b-cookie": 404, "made-up": 404, None: 404}
    for cookie, code in expected.items():
        cookies = {"access-token-unsecure-id": cookie} if cookie else {}
        async with httpx.AsyncClient(cookies=cookies, trust_env=False) as client:
            assert (await client.get(url)).status_code == code, cookie
