"""AVATAR's start: reads the settings, builds everything once, passes it down, serves the page."""

import argparse
import ctypes
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from avatar import lan, log, preflight, saying, starters, tunnel, weights
from avatar.assistant import Assistant
from avatar.audio import Decoder, Limits
from avatar.door import door
from avatar.engines.catalog import wants_card
from avatar.engines.loading import Loader
from avatar.engines.pool import EnginePool, import_and_load
from avatar.errors import AvatarError, WeightsError
from avatar.events import Notice
from avatar.export import Exports
from avatar.gpu import Gpus, cublas_folder, load_cublas
from avatar.guard import Hosts
from avatar.guests import Guests
from avatar.health import health_routes
from avatar.metrics import Metrics
from avatar.owners import owners
from avatar.pipeline import Pipeline
from avatar.planner import Plan, plan, whisper_bytes
from avatar.preparing import Preparing
from avatar.pressure import Pressure, refusal
from avatar.relief import room_for, steps
from avatar.server import routes
from avatar.sessions import Seats, Tokens
from avatar.settings import LOOPBACK, Settings
from avatar.speaker import SpeakerEncoder
from avatar.store import Store
from avatar.studio import MAX_S, MIN_S, RATE, Studio
from avatar.turntaking.smartturn import SmartTurn
from avatar.turntaking.voice import Silero
from avatar.voices import Starter, Voices
from avatar.weights.__main__ import progress_line
from avatar.weights.downloads import Downloads

ROOT = Path(__file__).parent


def main(argv: list[str] | None = None, loader: Loader = import_and_load) -> int:
    parser = argparse.ArgumentParser(description="A voice assistant on your own machine.")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", help="port of the page (default 7860)")
    parser.add_argument("--share", action="store_true", default=None, help="open a Gradio share link")
    parser.add_argument("--https", action="store_true", default=None, help="serve https, for phones on your network")
    parser.epilog = "Everything else is set by AVATAR_* in the environment: see .env.example."
    options = parser.parse_args(argv)

    try:
        settings = Settings.from_env(**vars(options))
        log.start(settings.log_level)
        preflight.check(settings)
        serve(settings, loader)
    except AvatarError as error:
        print(f"AVATAR cannot start: {error.sentence}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True)
class Parts:
    """What is built once, and put away at the end."""

    assistant: Assistant
    pool: EnginePool
    store: Store
    downloads: Downloads
    decoders: tuple[Decoder, ...]
    pressures: Sequence[Pressure]

    def close(self) -> None:
        """Blocks. After the page is closed: its sockets store what was said."""
        self.downloads.close()
        for decoder in self.decoders:
            decoder.close()
        for pressure in self.pressures:
            pressure.close()
        self.pool.close()
        self.store.close()


def serve(settings: Settings, loader: Loader = import_and_load) -> None:
    """Build, launch, wait for the end, and put everything away."""
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - started:5.1f} s] {line}", flush=True)

    bound_arenas()
    fetch_weights(settings, say)
    gpus = Gpus(settings.vram_gib)
    planned = plan_cards(settings, gpus, say)
    settings = replace(settings, max_sessions=planned.seats)
    parts = assemble(settings, loader, planned, gpus, say)
    say("Engines are warming; building the page.")
    # Gradio serves whatever lies in its temporary folder, by default the one that all Gradio programs here share
    with tempfile.TemporaryDirectory(prefix="avatar-") as folder:
        close_page = open_page(settings, parts.assistant, gpus, folder, say)
        saying.prepare()
        wait_for_the_end(parts.assistant, settings.drain_s)
        print("Closing: storing what was said.", flush=True)
        if parts.assistant.takes is not None:
            parts.assistant.takes.end()
        close_page()
        parts.close()


def assemble(settings: Settings, loader: Loader, planned: Plan, gpus: Gpus, say: Callable[[str], None]) -> Parts:
    """Everything but the page. The engines load in the background from here on, while the page's own libraries load."""
    pool = EnginePool(
        settings,
        loader=loader,
        plan=planned,
        room=lambda rung: room_for(rung, None if rung.share is None else gpus.of(rung.share.card)),
    )
    pool.start()
    downloads = Downloads(settings.weights, settings.download, on_done=pool.look_again)
    downloads.start_missing(name for rung in pool.status() for name in rung.lacks)
    store = Store(settings.data)
    told: list[Notice] = []  # of all cards
    pressures = [Pressure(gpu.memory, steps(pool, card), told=told) for card, gpu in enumerate(gpus.each)]
    for pressure in pressures:
        pressure.start()
    voices = Voices(settings.data, store.profiles, [Starter.of(one) for one in starters.load()], pool.forget)
    decoder = Decoder(Limits(max_bytes=settings.upload_mib << 20, max_s=settings.max_utterance_s))
    clips = Decoder(Limits(max_bytes=settings.upload_mib << 20, min_s=MIN_S, max_s=MAX_S, sample_rate=RATE))
    silero, smart_turn, encoder = load_small_models(settings, say)
    pipeline = Pipeline(pool, permit=voices.permit)
    assistant = Assistant(
        settings=settings,
        pool=pool,
        pipeline=pipeline,
        store=store,
        seats=Seats(settings.seats, settings.idle_warn_s, settings.idle_s, partial(refusal, pressures)),
        tokens=Tokens(),
        metrics=Metrics(),
        decoder=decoder,
        downloads=downloads,
        silero=silero,
        smart_turn=smart_turn,
        studio=Studio(voices, store, pipeline, clips, silero, encoder, prepare=Preparing(pool, voices.permit).ask),
        news=lambda since: told[since:],
    )
    sweep(store, voices, assistant.exports, say)
    return Parts(assistant, pool, store, downloads, (decoder, clips), pressures)


def sweep(store: Store, voices: Voices, exports: Exports, say: Callable[[str], None]) -> None:
    """Remove what a crash left behind; where nothing can be kept, say so instead."""
    if store.damaged or store.unwritable:
        say(store.damaged or f"Nothing new is kept until that is mended: {store.unwritable}")
        return
    store.sweep()
    voices.sweep()
    exports.sweep(0)


def open_page(
    settings: Settings, assistant: Assistant, gpus: Gpus, folder: str, say: Callable[[str], None]
) -> Callable[[], None]:
    """Serve the page; `folder` is for Gradio's uploads and outputs. Returns what closes it, and with it the sockets."""
    lan.reach_directly(settings.host)
    os.environ["GRADIO_TEMP_DIR"] = folder
    # after every event it would sum up all events so far, for a page that is closed here: 27 % of its time under load
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(1 << 62)
    from avatar.ui.login import Login
    from avatar.ui.page import build, launch_options  # imports gradio: 2 to 3 s, while the engines load

    def gpu_gib() -> tuple[float, float] | None:
        memory = gpus.memory()
        return (memory.used / 2**30, memory.total / 2**30) if memory else None

    guests = Guests.open(settings.data) if settings.open and not settings.loopback else None
    hosts, tls = Hosts(settings), https_files(settings)
    demo = build(assistant, owner_of := owners(settings, guests), gpu_gib)
    _, url, _ = demo.queue(max_size=32, api_open=False).launch(
        server_name=settings.host,
        server_port=settings.port,
        share=False,  # Gradio would hold the start up for it: see tunnel.py
        auth=tuple(settings.auth.split(":", 1)) if settings.auth else None,
        max_file_size=settings.upload_mib << 20,
        allowed_paths=[],
        blocked_paths=[str(settings.data), str(settings.weights), str(ROOT / "profiles"), str(ROOT / ".env")],
        state_session_capacity=50,
        app_kwargs={
            "middleware": door(settings, hosts, assistant.metrics, guests, owner_of, folder, Login),
            "routes": [*routes(assistant, owner_of), *health_routes(assistant, owner_of, gpus)],
        },
        prevent_thread_lock=True,
        quiet=True,
        **tls,
        **launch_options(),
    )
    tell_addresses(settings, url, hosts, say)
    return partial(demo.close, verbose=False)


def wait_for_the_end(assistant: Assistant, drain_s: float) -> None:
    """Blocks. After SIGTERM nobody new is let in, and what is being answered may be heard; SIGINT, or a second SIGTERM,
    ends at once."""
    asked, now = threading.Event(), threading.Event()

    def stop(number: int, _: object) -> None:
        if asked.is_set() or number == signal.SIGINT:
            now.set()
        asked.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)
    asked.wait()
    assistant.attendant.drain()
    until = time.monotonic() + drain_s
    while not assistant.attendant.empty and time.monotonic() < until and not now.wait(0.1):
        continue


def https_files(settings: Settings) -> dict[str, Any]:
    """Arguments of `launch` for --https."""
    if not settings.https:
        return {}
    key, certificate = lan.certificate(settings.data)
    return {"ssl_keyfile": str(key), "ssl_certfile": str(certificate), "ssl_verify": False}


def tell_addresses(settings: Settings, url: str, hosts: Hosts, say: Callable[[str], None]) -> None:
    say(f"Open {url} and press Start.")
    if settings.share:
        threading.Thread(target=share, args=(settings.port, hosts, say), daemon=True).start()
    if settings.host not in LOOPBACK:
        for address in lan.reachable(settings.host, settings.port, settings.https):
            say(f"On other devices of your network: {address}\n{lan.qr(address)}")
        if not settings.https:
            say("Without --https other devices can type and hear, but their browsers give no microphone.")


def share(port: int, hosts: Hosts, say: Callable[[str], None]) -> None:
    """Blocks up to a minute."""
    try:
        link = tunnel.open_tunnel(port)
    except AvatarError as error:
        say(error.sentence)
        return
    hosts.add(link)
    say(f"Shared at {link}")


def bound_arenas() -> None:
    """Two malloc arenas instead of eight per core: engines work on short-lived threads, and what they free in one
    arena is no use to the next thread's. The talk bench peaked at 1,134 MiB before this and at 788 after, with other
    changes between the two runs (2026-11-23)."""
    if hasattr(libc := ctypes.CDLL(None), "gnu_get_libc_version"):
        libc.mallopt(-8, 2)  # M_ARENA_MAX of glibc's malloc.h


def plan_cards(settings: Settings, gpus: Gpus, say: Callable[[str], None]) -> Plan:
    """Decide, before anything is loaded, what of the graphics cards each engine gets, and say it."""
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # NVML's, by which the plan counts
    wanted, memories = wants_card(settings), gpus.memories()
    if memories and "whisper" in wanted and (missing := load_cublas(cublas_folder())):
        say(missing)
        wanted.discard("whisper")
    brought = {"whisper": whisper_bytes(settings.whisper_model)} if isinstance(settings.whisper_model, Path) else {}
    made = plan(memories, wanted, settings.max_sessions, brought)
    for line in made.lines():
        say(line)
    return made


def fetch_weights(settings: Settings, say: Callable[[str], None]) -> None:
    """Fetch what is missing of the bundled weights, once. Without a network: one sentence, and on with what is here."""
    missing = [name for name in weights.GROUPS["bundled"] if not weights.complete(name, settings.weights)]
    for name in missing:
        here = weights.intact(name, settings.weights)
        if settings.download == "never" and not here:
            weight = weights.known(name)
            say(f"{name} is not here, and AVATAR_DOWNLOAD=never. {weights.by_hand(weight, settings.weights)}")
            continue
        megabytes = f"{weights.WEIGHTS[name].size / 1e6:.0f} MB"
        say(f"Preparing {name} for this machine, once." if here else f"Fetching {name}, {megabytes}, once.")
        try:
            weights.fetch(name, settings.weights, progress_line(name))
        except WeightsError as error:
            say(error.sentence)


def load_small_models(
    settings: Settings, say: Callable[[str], None]
) -> tuple[Silero | None, SmartTurn | None, SpeakerEncoder | None]:
    """The two models of turn-taking and the one that tells voices apart, each None with a sentence when its weights are
    not here."""
    loaders: dict[str, Callable[[Path], Any]] = {
        "silero-vad": Silero.load,
        "smart-turn-v3.2": SmartTurn.load,
        "resemblyzer": SpeakerEncoder.load,
    }
    models: list[Any] = []
    for name, load in loaders.items():
        try:
            models.append(load(weights.path(name, settings.weights)))
        except WeightsError as error:
            say(error.sentence)
            models.append(None)
    return models[0], models[1], models[2]


if __name__ == "__main__":
    sys.exit(main())
