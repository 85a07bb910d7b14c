"""Voice profiles that are kept and deleted while the process is killed."""

import hashlib
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from voice_profiles import folders, kept, opened

from avatar.voices import CLIP, Voices


class TestCrashes:
    def test_the_sweep_removes_what_belongs_to_no_profile(self, voices: Voices, tmp_path: Path) -> None:
        mine = kept(voices)
        for name in (".staged-1", ".deleted-2", "f" * 32):
            (tmp_path / "voices" / name / "cache").mkdir(parents=True)
            (tmp_path / "voices" / name / CLIP).write_bytes(b"x")
        assert voices.sweep() == 3 and [f.name for f in folders(tmp_path)] == [mine.id]
        assert voices.sweep() == 0

    def test_it_waits_while_a_voice_is_being_kept(self, voices: Voices, tmp_path: Path) -> None:
        (tmp_path / "voices" / ".staged-1").mkdir()
        with voices._creating():
            assert opened(tmp_path).sweep() == 0
        assert voices.sweep() == 1

    def test_eight_at_once(self, voices: Voices) -> None:
        added: list[str] = []
        threads = [threading.Thread(target=lambda: added.append(kept(voices, seconds=1.0).id)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(set(added)) == 8 and {p.id for p in voices.of("ann")} == set(added) and voices.sweep() == 0

    @pytest.mark.slow
    def test_killed_while_voices_are_kept_and_deleted(self, tmp_path: Path) -> None:
        kill_keepers(tmp_path, kills=4)


KEEPER = """
import sys, random
sys.path[:0] = [{tests!r}, {root!r}]
from pathlib import Path
from voice_profiles import kept, opened
voices, dice = opened(Path({data!r})), random.Random()
print("ready", flush=True)
while True:
    added = kept(voices, seconds=0.5)
    print("kept", added.id, flush=True)
    if dice.random() < 0.5:
        print("deleting", added.id, flush=True)
        voices.delete("ann", added.id)
        print("deleted", added.id, flush=True)
"""


def kill_keepers(data: Path, kills: int) -> dict[str, int]:
    """Kill -9 a process that keeps and deletes voices, again and again. After the sweep of the next start each voice
    that was promised is whole, none that was deleted is there, and no file or row is left over."""
    promised: set[str] = set()
    deleted: set[str] = set()
    swept, dice = 0, random.Random(20261125)
    tests = Path(__file__).parent
    program = KEEPER.format(tests=str(tests), root=str(tests.parent), data=str(data))
    for _ in range(kills):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as keeper:
            assert keeper.stdout is not None and keeper.stdout.readline() == "ready\n"
            timer = threading.Timer(dice.uniform(0.0, 0.4), keeper.send_signal, (signal.SIGKILL,))
            timer.start()
            lines = [line.split() for line in keeper.stdout if line.endswith("\n")]  # one that was cut says nothing
            timer.join()
        begun = {name for what, name in lines if what == "deleting"}
        deleted |= {name for what, name in lines if what == "deleted"}
        promised |= {name for what, name in lines if what == "kept"} - begun
        unsure = begun - deleted  # killed while it was deleted: whole or gone, nothing between
        voices = opened(data)
        swept += voices.sweep()
        rows = {profile.id: profile for profile in voices.of("ann")}
        assert promised <= rows.keys() and not deleted & rows.keys()
        assert {place.name for place in folders(data)} == rows.keys()
        for profile_id in [*rows.keys() - promised, *list(rows)[:2]]:  # those that nobody heard of, and two more
            assert hashlib.sha256(voices.clip("ann", profile_id)).hexdigest() == rows[profile_id].sha256
            voices.permit(voices.voice("ann", profile_id))
        deleted |= unsure - rows.keys()
        promised |= unsure & rows.keys()
        for profile_id in list(rows)[20:]:  # an owner has room for 50
            voices.delete("ann", profile_id)
            promised.discard(profile_id)
        voices._profiles._db.close()
    return {"kills": kills, "kept": len(promised), "deleted": len(deleted), "orphans_swept": swept}
