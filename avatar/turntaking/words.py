"""What the words so far say about turn-taking: lists of English and Chinese words, and how a transcript is split.

Words of other languages are words too, of which nothing is known: how they end is left to Smart Turn.
Knows nothing of sound or time. The lists are closed classes (articles, conjunctions, auxiliaries ...) from grammar;
where a word also ends real sentences ("where are you from", "I hope not") it stands in the weaker list.
"""

import re

_TOKEN = re.compile(r"[\u3400-\u9fff]|(?:(?![\u3400-\u9fff])[^\W_])+(?:'[a-z]+)?")
HANZI = re.compile(r"[\u3400-\u9fff]")
_TRADITIONAL = str.maketrans(
    "來說嗎麼還沒會這個們為過後時對樣話別讓謝應該聽誰裡從與給於當雖繼續靜聲閉夠結東錯關見暫誒",
    "来说吗么还没会这个们为过后时对样话别让谢应该听谁里从与给于当虽继续静声闭够结东错关见暂诶",
)


def tokens(text: str) -> list[str]:
    """Lower-case words and single hanzi (simplified where turn-taking words need it), without punctuation."""
    plain = text.lower().replace("’", "'").replace("-", " ").translate(_TRADITIONAL)
    return _TOKEN.findall(plain)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# No sentence ends here: articles, determiners, conjunctions, bare contractions, hesitations.
OPEN = _set(
    "a an the my your our their its every and or but nor because if unless until till while whereas although than "
    "whether as upon into onto during between among toward towards via per very such these those i'm i've i'd "
    "i'll you're you've you'd you'll we're we've we'd we'll they're they've they'd they'll he's she's he'll "
    "she'll it'll that's there's here's what's who's where's how's let's gonna wanna gotta um uh er erm uhm umm "
    "like"
)
# Sentences end here only in some constructions: stranded prepositions, auxiliaries, subjects, transitive verbs.
WEAK = _set(
    "of to for in on at by with from about against without through after before since under over near behind "
    "around is am are was were be been being do does did has have had will would shall should can could may might "
    "must not i we he she they who whose which some any no ask tell want need get give make take put let say said "
    "mean bring send show it's don't doesn't didn't isn't aren't can't won't another other more most each both "
    "either neither so also just"
)
NUMBERS = _set("zero oh one two three four five six seven eight nine ten hundred thousand million point double triple")

# Complete by themselves, however short and whatever Smart Turn thinks of so little sound.
GREETINGS = _set("hello hi hey goodbye bye thanks 你好 您好 再见 谢谢 早安 晚安")
COMPLETE = GREETINGS | _set(
    "yes no yep nope yeah sure okay ok stop wait continue please exactly right correct never maybe why what when "
    "where who how repeat again help next cancel pause quit 是 是的 好 好的 不是 不 不要 可以 没有 停 继续 当然 "
    "为什么 什么"
)
# Ways to begin that promise more; alone or before words without a verb they are no turn: "And so my fellow Americans".
OPENERS = _set(
    "and so but or well now because then also ok okay um uh er 所以 但是 可是 而且 然后 因为 不过 那 那么 就 嗯 呃 对"
)

QUESTION = _set(
    "who whom whose what when where which why how is are was were am do does did can could will would shall "
    "should may might has have had isn't aren't don't doesn't didn't can't couldn't won't wouldn't"
)
SUBORDINATE = _set("if when while although though unless whenever after before until once")
VERBS = _set(
    "ask be been call came come find found get gave give go goes going got gone had has have hear heard help hope "
    "is are was were am do does did done keep kept knew know let like look love made make mean need play put ran "
    "read run said saw say see seem show sing sit speak start stop take talk tell think thought told took try "
    "turn understand use want went will can could would should may might must work write wrote eat drink buy "
    "bring leave left live feel felt wait win won set send sent explain remind open close believe remember "
    "happened makes takes says wants needs thinks knows"
)
_VERB_TAIL = re.compile(r"'(?:s|re|m|ve|ll|d|t)$|(?:ed|ing)$")

OPEN_ZH = tuple(
    _set(
        "的 地 得 和 跟 与 或 或者 但 但是 可是 不过 因为 所以 如果 要是 虽然 而且 然后 还有 就 就是 是 在 把 被 给 "
        "对 对于 关于 从 向 往 为 为了 比 让 使 我 我的 这 那 这个 那个 一个 一些 很 非常 最 更 也 都 还 又 再 想 要 "
        "可以 应该 嗯 呃 比如 例如 那么"
    )
)


def has_verb(words: list[str]) -> bool:
    return any(word in VERBS or _VERB_TAIL.search(word) for word in words)


# Of these, the ones that also end sentences.
WEAK_ZH = ("的", "得", "我", "给", "要", "想", "在", "是", "对", "都")
CLOSED_ZH = ("是的", "好的", "对的", "真的", "谢谢")  # whole answers that end in one of these


# Listening noises: they ask the speaker to go on. Single letters are how Moonshine begins a hum ("M Mm-hmm").
BACKCHANNELS = _set(
    "a ha haha hahaha heh hehe "
    "m u h mhm mm hm hmm hmmm mmm mmhm mmhmm uh hu huh um umm ah aha oh ooh okay ok yeah yep yup yes right sure good "
    "great nice cool wow really true exactly indeed fine alright i see got it of course very you know all 嗯 恩 "
    "呣 唔 哦 噢 喔 啊 哎 诶 欸 呃 对 好 是 行 没 错 的 呀 吧 啦 了 嘛 呵 哈 真 吗 这 样 原 来 如 此"
)
# They end the reply at once, even alone and even within other words.
STOPS = _set("stop wait no pause quiet enough cancel hang nope silence shush hush")
STOP_PHRASES = (
    "hold on",
    "shut up",
    "be quiet",
    "never mind",
    "one moment",
    "excuse me",
    "hang on",
    "not that",
    "停",
    "等一下",
    "等等",
    "等下",
    "不要",
    "不对",
    "不是",
    "别说",
    "安静",
    "闭嘴",
    "够了",
    "住口",
    "暂停",
    "打住",
    "且慢",
)
# What Moonshine tiny writes for coughs, hums and knocks (avatar/bench/noises.py): never words to act on.
INVENTED = _set("you the m mm mhm mmhm hm hmm hmmm mmm u uh hu huh um h umm 嗯 恩 呃 唔")
