"""What Whisper says where nobody spoke, and how to tell. Pure; knows no model.

It learned from subtitled video and writes, over noise and silence, how such videos end and who subtitled them. The
phrases are those that users report: openai/whisper discussion 928, amicalhq/amical issue 71, ufal/whisper_streaming
issue 68, Vexa-ai/vexa issue 617, and lists in public projects for Chinese and Korean (looked up 2026-11-23). They were
not measured: no Whisper weights could be had where this was written. So only a whole utterance counts, and what people
also say ("thank you") counts only where Whisper itself doubts it.
"""

import re
import unicodedata
import zlib
from dataclasses import dataclass

# The bounds of openai/whisper, transcribe.py. Its no-speech probability alone is too often wrong to drop words by.
NO_SPEECH = 0.6
LOGPROB = -1.0
COMPRESSION = 2.4
REPEATED = re.compile(r"(\D{1,40}?)\1{3,}")  # digits excepted: a million has six zeros


def _set(phrases: str) -> frozenset[str]:
    return frozenset(re.sub(r"\s", "", phrases).split("|"))


# Nobody says these alone to an assistant. As `plain` leaves them, Chinese in traditional characters.
OUTROS = _set(
    "thanks for watching|thank you for watching|thank you so much for watching|thank you very much for watching|"
    "thank you for watching this video|thanks for watching see you next time|thank you for watching see you next time|"
    "please subscribe|please subscribe to my channel|please like and subscribe|like and subscribe|"
    "dont forget to subscribe|dont forget to like and subscribe|"
    "see you in the next video|ill see you in the next video|see you next video|"
    "謝謝觀看|謝謝大家觀看|謝謝您的觀看|謝謝你的觀看|謝謝大家的觀看|感謝觀看|感謝您的觀看|感謝大家的觀看|多謝觀看|"
    "謝謝收看|謝謝大家收看|謝謝您的收看|謝謝大家的收看|感謝收看|感謝您的收看|多謝收看|多謝您的收看|"
    "多謝您收睇時局新聞再會|謝謝觀看下次見|謝謝觀看我們下次再見|謝謝大家的收看我們下次再見|我們下集再見|"
    "請訂閱我的頻道|請按讚訂閱|歡迎訂閱我的頻道|以上言論不代表本臺立場|"
    "ご視聴ありがとうございました|ご視聴ありがとうございます|ご視聴いただきありがとうございました|"
    "ご視聴頂きありがとうございました|最後までご視聴いただきありがとうございました|最後までご視聴頂きありがとうございました|"
    "チャンネル登録お願いします|チャンネル登録をお願いします|チャンネル登録よろしくお願いします|"
    "高評価とチャンネル登録お願いします|次の動画でお会いしましょう|また次の動画でお会いしましょう|"
    "시청해주셔서감사합니다|끝까지시청해주셔서감사합니다|영상시청해주셔서감사합니다|지금까지시청해주셔서감사합니다|"
    "시청해주셔서고맙습니다|구독과좋아요부탁드립니다|구독좋아요부탁드립니다|다음영상에서만나요|다음영상에서뵙겠습니다|"
    "오늘영상은여기까지입니다|오늘영상은여기까지입니다감사합니다"
)
# Who subtitled it, who broadcast it. A question about them is none: "what is amara.org", "KBS 뉴스 틀어줘".
CREDITS = re.compile(
    r"(字幕|subt[ií]t|untertitel|soustitr|legendas|napisy|ondertitel|sottotitol).*amaraorg|transcri(bed|ption)bycastingwords"
    r"|^請不吝點[贊讚讃]|打賞支持明鏡|明鏡與點點欄目$|^[優优]{2}[獨独]播[劇剧]場|yoyotelevisionseriesexclusive"
    r"|^(中文)?字幕志[願愿]者|^字幕由.{1,12}字幕組|^字幕製作貝爾|^(mbc|kbs|sbs|ytn)뉴스.{2,4}입니다$"
    r"|^한글자막by|^자막(제공자?|by.{1,12})$|^이영상은유료광고를포함하고있습니다$"
)
# People say these too: dropped only when Whisper doubts that it heard speech, or doubts its own words.
COURTESIES = _set(
    "thank you|thank you very much|thank you so much|thanks|thanks for listening|you|so|bye|bye bye|goodbye|"
    "see you|see you next time|well be right back|the end|im sorry|music|applause|"
    "謝謝|謝謝大家|謝謝你|謝謝您|再見|下次再見|我們下次再見|字幕|中文字幕|音樂|掌聲|"
    "ありがとうございました|ありがとうございます|ありがとう|おやすみなさい|お疲れ様でした|音楽|次回もお楽しみに|"
    "감사합니다|고맙습니다|봐주셔서감사합니다|안녕히계세요|수고하셨습니다|뉴스|mbc뉴스|구독과좋아요|자막|음악"
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder wrote, and what it thinks of it. `logprob`: natural logarithm, the mean of the tokens and end.

    `no_speech`: probability, at the first step, that there is no speech.
    """

    text: str
    no_speech: float
    logprob: float

    @property
    def silence(self) -> bool:
        return self.no_speech > NO_SPEECH and self.logprob < LOGPROB

    @property
    def doubtful(self) -> bool:
        return self.no_speech > NO_SPEECH or self.logprob < LOGPROB

    @property
    def looping(self) -> bool:
        """Whether it repeats itself so much that it compresses like no speech does."""
        written = self.text.encode()
        return len(written) > COMPRESSION * len(zlib.compress(written))


def words(decoded: Decoded) -> str:
    """The words that someone said: `decoded.text`, or '' where it is an invention; a loop is said once."""
    text = " ".join(decoded.text.split())
    if decoded.looping:
        text = REPEATED.sub(r"\1", f"{text} ").strip()  # each time with the space behind it
    said = plain(text)
    if not said or decoded.silence or CREDITS.search(said) or said in OUTROS:
        return ""
    return "" if decoded.doubtful and said in COURTESIES else text


def plain(text: str) -> str:
    """Letters and digits only, in small letters: 'Thanks for watching!' is 'thanksforwatching'."""
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())
