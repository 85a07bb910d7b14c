"""A process that stores turns as the server does, to be killed in the middle of it. Not a test itself."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from avatar.audio import read_opus
from avatar.store import Store, Wanted

WRITER = """
import asyncio, sys
from pathlib import Path
import numpy as np
from avatar.chat import Chat, Exchange
from avatar.metrics import Metrics
from avatar.recorder import Ended, Recorder
from avatar.store import Store

async def talk():
    store = Store(Path(sys.argv[1]))
    recorder, chat = Recorder(store, Metrics()), Chat()
    sound = np.sin(np.arange(12000) / 9).astype(np.float32) / 3
    print("started", flush=True)
    while True:
        exchange = Exchange("what was said", "what was answered")
        await recorder.save("local", chat, Ended(chat.add(exchange), "done", sound, sound, engines={"tts": "x"}))
        print(exchange.turn_id, flush=True)  # here the socket says `saved`

asyncio.run(talk())
"""


def kill_on_the_turn_path(data: Path, kills: int) -> int:
    """Kill the writer so often; returns how many turns it had acknowledged. Asserts that none of them is lost, none is
    half there, and the database is whole."""
    chance, acknowledged = random.Random(11), set[str]()
    for _ in range(kills):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, data], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        writer.stdout.readline()
        acknowledged |= {writer.stdout.readline().strip() for _ in range(chance.randint(2, 9))}
        time.sleep(chance.uniform(0, 0.1))  # in the middle of one
        writer.send_signal(signal.SIGKILL)
        acknowledged |= set(writer.stdout.read().split("\n")[:-1])  # a line that was cut promised nothing
        writer.wait()
        writer.stdout.close()
    store = Store(data)
    assert not store.damaged
    rows = {turn.id: turn for row in store.conversations("local", 10_000) for turn in store.turns("local", row.id)}
    assert acknowledged <= rows.keys()
    for turn in rows.values():
        assert (turn.user_text, turn.reply_text) == ("what was said", "what was answered")
        for side in ("user", "reply"):
            assert len(read_opus(store.audio_path("local", turn.id, side)).samples) > 20_000
    found = store.search.find("local", Wanted(words="answered"), 10_000)
    assert {hit.conversation for hit in found} == {turn.conversation for turn in rows.values()}
    store.close()
    return len(acknowledged)
