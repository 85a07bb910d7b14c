"""Chinese words for what is written in digits and signs, in the script of the text. Pure.

Latin words stay as they are: the voice reads them in English, and so does a number inside an English sentence. A digit
that belongs to a name is Chinese, as people say it: iPhone 十五, 五G.
"""

import re
from collections.abc import Callable
from functools import partial

from avatar.saying import english
from avatar.saying.chinese_words import MEASURES, SIMPLIFIED, TRADITIONAL, Script

LONGEST = 16  # digits: up to 9,999 兆; more is read digit by digit
DIGITS = "零一二三四五六七八九"

Say = Callable[[re.Match[str], Script], str]


def is_traditional(text: str, language: str | None) -> bool:
    """By how much of the text each country's own character set can write; by the tag when that does not tell."""
    big5, gb2312 = (len(text.encode(charset, "ignore")) for charset in ("big5", "gb2312"))
    if big5 == gb2312:
        return re.search(r"(?i)-(?:tw|hk|mo|hant)", language or "") is not None
    return big5 > gb2312


def spoken(text: str, traditional: bool) -> str:
    script = TRADITIONAL if traditional else SIMPLIFIED
    text = text.translate(_HALF_WIDTH)
    if _SIGN_OR_DIGIT.search(text) is None:
        return text
    text = _LATIN_RUN.sub(_english, text)
    for pattern, say in _RULES:
        text = pattern.sub(say if isinstance(say, str) else partial(_said, say, script), text)
    return " ".join(_LOOSE.sub("", text).split())


def _said(say: Say, script: Script, m: re.Match[str]) -> str:
    return say(m, script)


def _english(m: re.Match[str]) -> str:
    """A sentence in English, which has small words, and not a name with a number, such as iPhone 15 Pro Max."""
    if len(_SMALL_WORD.findall(m[0])) < 2 or not any(map(str.isdigit, m[0])):
        return m[0]
    before, after = m[0][: len(m[0]) - len(m[0].lstrip())], m[0][len(m[0].rstrip()) :]
    return before + english.spoken(m[0]) + after


# -- words of numbers -------------------------------------------------------------------------------------------------


def one_by_one(digits: str) -> str:
    return "".join(DIGITS[int(digit)] for digit in digits)


def year(digits: str) -> str:
    return one_by_one(digits).replace("零", "〇")


def cardinal(digits: str, script: Script) -> str:
    """20,200 -> 兩萬零兩百. Digit by digit what is no quantity, as 007."""
    digits = digits.replace(",", "")
    if len(digits) > LONGEST or (digits[0] == "0" and len(digits) > 1):
        return one_by_one(digits)
    n, words, rank, lower = int(digits), "", 0, 1000
    while n:
        n, group = divmod(n, 10_000)
        if group:
            gap = "零" if words and lower < 1000 else ""
            name = script.groups[rank]
            words = (script.two if group == 2 and name else _group(group, script)) + name + gap + words
        lower = group
        rank += 1
    return (words[1:] if words.startswith("一十") else words) or "零"


def _group(n: int, script: Script) -> str:
    """1 to 9,999."""
    words, gap = "", False
    for place, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, n = divmod(n, place)
        if digit:
            words += (
                ("零" if gap and words else "") + (script.two if digit == 2 and place > 10 else DIGITS[digit]) + name
            )
        gap = digit == 0
    return words


def number(text: str, script: Script) -> str:
    whole, _, part = text.partition(".")
    return cardinal(whole, script) + (script.point + one_by_one(part) if part else "")


def quantity(text: str, script: Script) -> str:
    """A number of things: 2 is 兩."""
    return script.two if text == "2" else number(text, script)


# -- what a match says ------------------------------------------------------------------------------------------------


def _date(m: re.Match[str], script: Script) -> str:
    if not (1 <= int(m[3]) <= 12 and 1 <= int(m[4]) <= 31):
        return m[0]
    return f"{year(m[1])}年{cardinal(m[3].lstrip('0'), script)}月{cardinal(m[4].lstrip('0'), script)}日"


def _year(m: re.Match[str], script: Script) -> str:
    ages = m[1].endswith("00") and _AGES.match(m.string[m.end() :])  # 2,000 years ago, and not the year 2000
    return cardinal(m[1], script) if ages else year(m[1])


def _slash(m: re.Match[str], script: Script) -> str:
    """11/23 is a day, 3/4 three quarters."""
    a, b = float(m[1]), int(m[2])
    if 1 <= a <= 12 and 11 <= b <= 31 and a == int(a):
        return f"{cardinal(str(int(a)), script)}月{cardinal(str(b), script)}日"
    if a > b:
        return f"{number(m[1], script)}比{cardinal(m[2], script)}"
    parts = "百" if b == 100 else cardinal(m[2], script)
    return f"{parts}分之{number(m[1], script)}"


def _phone(m: re.Match[str], script: Script) -> str:
    return ("加" if m[0].startswith("+") else "") + "，".join(map(one_by_one, re.findall(r"\d+", m[0])))


def _time(m: re.Match[str], script: Script) -> str:
    hour, minute, second, half = str(int(m[1])), m[2], m[3], (m[4] or "").lower()
    words = {"": "", "a": "上午", "p": "下午"}[half] + quantity(hour, script) + script.hour
    if int(minute) or second:
        words += ("零" if minute[0] == "0" and minute != "00" else "") + cardinal(str(int(minute)), script) + "分"
    return words + (cardinal(str(int(second)), script) + "秒" if second else "")


def _hour(m: re.Match[str], script: Script) -> str:
    known = m.string[: m.start()].rstrip().endswith(("上", "午", "晨", "晚"))
    return ("" if known else "上午" if m[2].lower() == "a" else "下午") + quantity(str(int(m[1])), script) + script.hour


def _money(m: re.Match[str], script: Script) -> str:
    name, low, high, scale = m[1], m[2], m[3], m[4] or ""
    amounts = [quantity(re.sub(r"\.0+$|(?<=\.\d)0$", "", amount), script) for amount in (low, high) if amount]
    return script.currencies[name].format("到".join(amounts) + scale)


def _money_behind(m: re.Match[str], script: Script) -> str:
    return script.currencies[m[2]].format(quantity(m[1], script))


def _measure(m: re.Match[str], script: Script) -> str:
    sign, low, high, unit = m[1] or "", m[2], m[3], m[4]
    template = script.units[unit]
    if sign and "氏" in template:
        sign, template = "", template.replace("{}", "零下{}")
    low_words = f"{number(low, script)}到" if low else ""
    amount = number(high, script) if template.startswith(("百", "千")) else quantity(high, script)
    return sign + template.format(low_words + amount)


def _at_least_three(m: re.Match[str], script: Script) -> str:
    return script.point.join(cardinal(part, script) for part in m[0].split("."))


# -- the rules, in the order in which they are tried ------------------------------------------------------------------

_HALF_WIDTH = {0xFF10 + i: ord("0") + i for i in range(10)} | str.maketrans("％＄＋＝～−–", "%$+=~--")
_SIGN_OR_DIGIT = re.compile(r"[\d½¼¾+=×÷≈≠≤≥±°&@/]|[A-Za-z]\.[a-z]")
_HAN = r"\u3007\u3400-\u4dbf\u4e00-\u9fff"
_LATIN_RUN = re.compile(r"[\x20-\x7e‘’“”°]+")
_SMALL_WORD = re.compile(r"\b[a-z]{3,}\b")
_LOOSE = re.compile(rf"(?<=[{_HAN}]) +(?=[{_HAN}])")
_AGES = re.compile(r" ?年(?:前|後|后|来|來|以|的?歷史|的?历史)")

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_AMOUNT = rf"(?<!\d)(?<!\d[.,]){_NUMBER}"  # begins where the digits do: or 400 digits are tried from each of them
_NAMES = SIMPLIFIED.currencies.keys()
_CURRENCY = "|".join(map(re.escape, sorted(_NAMES, key=len, reverse=True)))
_CODE = "|".join(name for name in _NAMES if name.isalpha())
_HALF_DAY = "[上中下]午|早上|晚上|凌晨"
_SCALE = "([千百十]?[万萬亿億兆]|千)"
_UNIT = "|".join(map(re.escape, sorted(SIMPLIFIED.units, key=len, reverse=True)))
_MINUS = f"{SIMPLIFIED.minus}|{TRADITIONAL.minus}"


def _sign(name: str) -> Say:
    return lambda m, script: script.signs[name]


def _rules(*rules: tuple[str, str | Say]) -> list[tuple[re.Pattern[str], str | Say]]:
    return [(re.compile(pattern, re.ASCII), say) for pattern, say in rules]


_RULES = _rules(
    # names
    (r"7-(?:ELEVEN|Eleven|eleven)|(?<=[去在家間间逛]) ?7-11|7-11(?= ?(?:超商|便利|門市|门市|店))", "Seven Eleven"),
    (r"\b[Nn]o\. ?(\d+)", lambda m, script: f"number {english.cardinal(m[1])}"),
    (r"(?<=[A-Za-z])-(?=\d)|(?<=\d)-(?=[A-Za-z])", " "),
    (r"(?<=[A-Za-z0-9])\.(?=[a-z][a-z0-9])", " dot "),
    (r"(?<=\w)@(?=\w)", " at "),
    (r"C\+\+", "C加加"),
    (r"(?<=[A-Za-z]) ?& ?(?=[A-Za-z])", " and "),
    # dates
    (r"(?<!\d)([12]\d{3})([-/.])([01]?\d)\2([0-3]?\d)(?!\d)(?: ?日)?", _date),
    (
        r"(?<!\d)([12]\d{3})/(1[0-2]|0?[1-9])(?![\d/])(?: ?月)?",
        lambda m, script: f"{year(m[1])}年{cardinal(m[2].lstrip('0'), script)}月",
    ),
    (r"(?<![\d.,])([12]\d{3}) ?[-~] ?([12]\d{3})(?= ?年)", lambda m, script: f"{year(m[1])}到{year(m[2])}"),
    (r"(?<![\d.,])([12]\d{3})(?= ?年)", _year),
    # telephone
    (r"\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}", _phone),
    (r"\(0\d{1,3}\) ?\d{3,4}-?\d{3,4}|(?<![\d.])\d+(?:-\d+){2,}(?!\d)|(?<![\d.])0\d{1,3}-\d{5,8}(?!\d)", _phone),
    (r"(?<![\d.,])(?:0\d{8,10}|1[3-9]\d{9})(?!\d)", _phone),
    (r"(?<=[打撥拨線线話话]) ?(\d{3,6})(?![\d.,:%])(?! ?[次個个通元秒分小])", lambda m, script: one_by_one(m[1])),
    (r"(?<!\d)(\d{3})(?= ?(?:事件|大?地震|大[樓楼]|航班|班[機机]))", lambda m, script: one_by_one(m[1])),
    (r"(?<!\d)(\d{3,4})(?= ?(?:室|號房|号房|路?公車|路?公车|路公交))", lambda m, script: one_by_one(m[1])),
    # signs between numbers
    (r"(?<=\d) ?- ?(?=\d[^=]*=)", _sign("-")),
    (rf"(?<=[\d%℃年月日號号點点時时分歲岁元度])((?:°[CF])?) ?[-—~]+ ?(?=(?:{_CURRENCY})?\d|{_HALF_DAY})", r"\1到"),
    (rf"(?<![A-Za-z0-9.)])-(?=(?:{_CURRENCY})?\d)", lambda m, script: script.minus),
    (r"(?<!\d)~ ?(?=\d)", _sign("~")),
    (r" ?< ?(?=\d)", _sign("<")),
    (r" ?> ?(?=\d)", _sign(">")),
    (r"(?<=\d) ?[xX*] ?(?=\d)", _sign("×")),
    # money
    (
        rf"(?<!\d)({_CURRENCY}) ?({_NUMBER})(?:到(?:{_CURRENCY})?({_NUMBER}))? ?{_SCALE}? ?[元塊块]?",
        _money,
    ),
    (rf"(?<!/)({_AMOUNT}) ?({_CODE}|[€£])(?![A-Za-z])", _money_behind),
    # time
    (r"(?<!\d)([01]?\d|2[0-4])[:：]([0-5]\d)(?:[:：]([0-5]\d))?(?!\d)(?: ?([apAP])\.?[mM]\b\.?)?", _time),
    (r"(?<!\d)(1[0-2]|0?[1-9]) ?([apAP])\.?[mM]\b\.?", _hour),
    (r"(?<=\d)[:：](?=\d)", "比"),
    # quantities
    (r"(?<![\d.,])100 ?%", "百分之百"),
    (rf"(?<=[时時]速) ?({_NUMBER}) ?km/h", lambda m, script: f"{number(m[1], script)}公里"),
    (rf"({_MINUS})?(?:({_AMOUNT})到)?({_AMOUNT}) ?({_UNIT})(?![A-Za-z/²³])", _measure),
    (r"(?<![\d/])24/7(?![\d/])", "全天候"),
    (r"(?<=\d) ?(?=[½¼¾])|(?<=\d) (?=[1-9]/[2-9](?!\d))", "又"),
    (r"½", "1/2"),
    (r"¼", "1/4"),
    (r"¾", "3/4"),
    (r"(?<![\d/.])(\d{1,3}(?:\.\d+)?)/(\d{1,3})(?![\d/])", _slash),
    (r"(?<=\d)\^(\d+)", lambda m, script: f"的{cardinal(m[1], script)}次方"),
    (r"(?<!\d)\d+(?:\.\d+){2,}", _at_least_three),
    (
        rf"(?<![\d.第初高國国大小期拜])2(?= ?(?:[{MEASURES}](?!之)|年(?![級级班])))",
        lambda m, script: script.two,
    ),
    (_NUMBER, lambda m, script: number(m[0], script)),
    # signs
    (r"(?<=[^ +]) ?\+ ?(?=[^ +])", _sign("+")),
    *((re.escape(sign), _sign(sign)) for sign in "=×÷≈≠≤≥±°&"),
    (rf"(?<=[{_HAN}]) ?/ ?(?=[{_HAN}])", "、"),
    (r"(?<=[A-Za-z]) ?/ ?(?=[A-Za-z])", " "),
)
