"""Sentences to read aloud: made here, new each time, for one owner, once, and not for long. Knows no sound."""

import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from avatar.errors import AvatarError

VALID_S = 180.0  # to read a sentence, and twice more
MAX_OPEN = 1_000  # of all owners; the oldest goes first
LANGUAGES: Final = ("en", "zh")

# Everyday words of different sounds; no row has two that sound alike.
_ENGLISH: Final = """
Yesterday Tomorrow Today Sometimes Suddenly Usually Finally Perhaps
my our your the this that another one
quiet yellow heavy famous clever orange purple wooden gentle frozen hungry modern silver narrow friendly tired
doctor kitchen mountain teacher window village captain garden horse student market bridge rabbit lawyer ship farmer
needs follows changes remembers carries forgets discovers paints watches brings chooses repairs finds visits holds
two three five six seven eight nine eleven twelve fifteen twenty thirty forty fifty sixty ninety
green broken simple little strange cheap empty bright warm round soft dusty hidden plastic thick foreign
boxes letters potatoes chairs questions pictures flowers bottles candles stories baskets tickets buttons shoes coats
behind under near before beside inside above without
the every some any
river station library museum church hospital forest airport office restaurant theatre beach school factory tower castle
"""
_CHINESE: Final = """
昨天早上 明天下午 今天晚上 上個星期 去年夏天 每天中午 剛剛 有時候
老師 醫生 農夫 船長 鄰居 妹妹 舅舅 店員 爺爺 學生 司機 廚師 同事 姑姑 警察 導遊
在山上 在海邊 在車站 在廚房 在圖書館 在公園 在市場 在河邊 在教室 在醫院 在橋下 在機場 在院子裡 在窗前 在森林 在樓頂
看見了 畫出了 送來了 買到了 找到了 忘記了 數完了 收好了
兩個 三個 五個 六個 七個 八個 九個 十個
黃色的 安靜的 沉重的 圓圓的 破舊的 奇怪的 便宜的 透明的 溫暖的 木頭的 銀色的 小小的 有名的 空空的 柔軟的 綠色的
箱子 杯子 蘋果 故事 鈕扣 籃子 枕頭 風箏 餅乾 問題 西瓜 麵包 口袋 玩具 信封 鬧鐘
，還覺得很高興 ，然後回家休息 ，卻沒有說出來 ，所以遲到了 ，心裡有點緊張 ，大家都笑了 ，準備送給朋友 ，忽然下起雨來
"""


@dataclass(frozen=True, slots=True)
class Challenge:
    id: str
    owner: str
    language: str
    sentence: str
    expires: float  # on the clock of ReadAloud


class ReadAloud:
    """The sentences that are out. Thread-safe; a restart forgets them all, which costs a user one new sentence."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, chance: random.Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or secrets.SystemRandom()
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Challenge] = OrderedDict()

    def issue(self, owner: str, language: str) -> Challenge:
        """A new sentence, in English or Chinese; the one that this owner had before is void."""
        with self._lock:
            before = next((c for c in self._open.values() if c.owner == owner), None)
            if before is not None:
                del self._open[before.id]
            text = sentence(language, self._chance)
            while before is not None and text == before.sentence:
                text = sentence(language, self._chance)
            challenge = Challenge(secrets.token_urlsafe(16), owner, language, text, self._clock() + VALID_S)
            self._open[challenge.id] = challenge
            while len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
            return challenge

    def take(self, owner: str, challenge_id: str) -> Challenge:
        """The sentence, void from now on. Raises AvatarError READ_AGAIN: expired, used, unknown or another's."""
        with self._lock:
            challenge = self._open.get(challenge_id)
            if challenge is not None and challenge.owner == owner:
                del self._open[challenge_id]
                if self._clock() < challenge.expires:
                    return challenge
        raise AvatarError("This sentence is not valid any more. Take a new one and read it aloud.", code="READ_AGAIN")


def sentence(language: str, chance: random.Random) -> str:
    """11 English words, or 18 to 26 hanzi: one of 2 ** 39, or of 2 ** 28."""
    rows = (_CHINESE if language == "zh" else _ENGLISH).strip().splitlines()
    words = [chance.choice(row.split()) for row in rows]
    return "".join(words) + "。" if language == "zh" else " ".join(words) + "."
