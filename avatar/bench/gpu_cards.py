"""The whole app on one graphics card and on two of the same machine, 24 GiB of each: five and twenty speakers.

    python -m avatar.bench.gpu_cards MODELS OUT.json

MODELS as `bench gpu` makes them: f5, whisper and qwen of full size with random weights. What was found is written after
every part. With `costs` as a third argument, what turns cost one card is measured for the capacity bench instead.
"""

import asyncio
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from avatar.bench.clips import FOLDER, load
from avatar.bench.costs import measure
from avatar.bench.gpu_steps import READY_S, environment, machine
from avatar.bench.served import App
from avatar.bench.talk import answered
from avatar.gpu import Gpus
from avatar.settings import Settings

SESSIONS = (5, 20)
CLIPS = 3  # of each speaker, the shortest
ENDS = [(160.0, 20.0)]  # of turns: the front's, and the same on every machine


def run(models: Path, out: Path) -> dict[str, Any]:
    result: dict[str, Any] = {"machine": machine(), "cards_there": len(Gpus().each)}
    clips = sorted(load(FOLDER), key=lambda clip: len(clip.samples))[:CLIPS]
    for cards in (1, 2):
        found = result[f"cards_{cards}"] = {}
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(cards))), "AVATAR_MAX_SESSIONS": str(max(SESSIONS))}
        with tempfile.TemporaryDirectory(prefix="avatar-gpu-") as folder:
            kept = environment(models) | visible
            app = App(Path(folder) / "data", kept, program=("-m", "avatar.bench.gpu_serve")).start()
            try:
                found["ready_s"] = round(app.wait(READY_S), 1)
                found["engines"] = {stage: engine["name"] for stage, engine in app.engines().items()}
                for sessions in SESSIONS:
                    found[f"sessions_{sessions}"] = asyncio.run(answered(app, clips, sessions, random.Random(1)))
                    out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
                    print(cards, sessions, found[f"sessions_{sessions}"]["voice_to_voice_ms"], flush=True)
            finally:
                app.stop()
                found["log"] = app.said().splitlines()[-40:]
                out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return result


def main(argv: list[str]) -> int:
    models, out = Path(argv[0]), Path(argv[1])
    if argv[2:] == ["costs"]:
        given = {name: value for name, value in environment(models).items() if name.startswith("AVATAR_")}
        measure(Settings.from_env(given), load(FOLDER), ENDS).write(out)
    else:
        run(models, out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
