"""English words for what is written in digits and signs, the American way. Pure.

The rules are ours, the words of a number num2words'. WeTextProcessing without pynini (wetext 0.1.8) was tried: 45 MB,
0.5 s to import, up to 3 ms a clause, and "the 1990s" became "the one thousand nine hundred and ninety seconds".
"""

import re
from collections.abc import Callable
from functools import lru_cache

from avatar.saying.english_words import ABBREVIATIONS, CURRENCIES, MONTHS, NUMBERED, SCALES, SIGNS, TITLES, UNITS

LONGEST = 15  # digits; more is no quantity that anyone counts, and is read digit by digit

Say = Callable[[re.Match[str]], str]


def spoken(text: str) -> str:
    for pattern, say in _WORDS:
        text = pattern.sub(say, text)
    if _DIGIT.search(text):
        for pattern, say in _NUMBERS:
            text = pattern.sub(say, text)
    for pattern, say in _SIGNS:
        text = pattern.sub(say, text)
    return " ".join(text.split())


# -- words of numbers -------------------------------------------------------------------------------------------------


def cardinal(digits: str) -> str:
    """1,234 -> one thousand two hundred thirty-four. Digit by digit what is no quantity, as 007."""
    digits = digits.replace(",", "")
    if len(digits) > LONGEST or (digits[0] == "0" and len(digits) > 1):
        return one_by_one(digits)
    return _words(int(digits), "cardinal")


def one_by_one(digits: str) -> str:
    return " ".join(_words(int(digit), "cardinal") for digit in digits)


def number(text: str) -> str:
    """A cardinal or a decimal: 3.14 -> three point one four."""
    whole, _, part = text.partition(".")
    return " ".join([*([cardinal(whole)] if whole else []), *(["point", one_by_one(part)] if part else [])])


def ordinal(digits: str) -> str:
    return _words(int(digits.replace(",", "")[:LONGEST]), "ordinal")


def year(digits: str) -> str:
    """1905 -> nineteen oh five; 2000 -> two thousand."""
    return _words(int(digits), "year").replace("oh-", "oh ")


@lru_cache(maxsize=256)  # digits and hours come again and again
def _words(n: int, kind: str) -> str:
    from num2words import num2words  # 25 ms, once: see saying.prepare

    words: str = num2words(n, to=kind)
    return words.replace(",", "").replace(" and ", " ")


# -- what a match says ------------------------------------------------------------------------------------------------


def _kept_stop(m: re.Match[str], words: str) -> str:
    """The full stop of an abbreviation ends the sentence, too, when nothing follows."""
    return words + "." if m[0].endswith(".") and m.end() == len(m.string) else words


def _date(day: str, month: str, of_year: str | None = None) -> str | None:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    name = _MONTH_NAMES[int(month) - 1]
    return f"{name} {ordinal(day)}" + (f", {year(of_year)}" if of_year else "")


def _us_date(m: re.Match[str]) -> str:
    month, day = (m[1], m[2]) if int(m[1]) <= 12 else (m[2], m[1])  # 25/12/2024 can only be meant the other way
    return _date(day, month, m[3] if len(m[3]) == 4 else f"20{m[3]}") or m[0]


def _month_day(m: re.Match[str]) -> str:
    until = f" to {ordinal(m[3])}" if m[3] else ""
    return f"{MONTHS[m[1]]} {ordinal(m[2])}{until}" + (f", {year(m[4])}" if m[4] else "")


def _day_month(m: re.Match[str]) -> str:
    return f"the {ordinal(m[1])} of {MONTHS[m[2]]}" + (f", {year(m[3])}" if m[3] else "")


def _time(m: re.Match[str]) -> str:
    hour, minute, second, half = int(m[1]), m[2], m[3], (m[4] or "").upper()
    words = [cardinal(str(hour))]
    if int(minute):
        words.append(f"oh {cardinal(minute[1])}" if minute[0] == "0" else cardinal(minute))
    elif not half and not second:
        words.append("o'clock" if 0 < hour <= 12 else "hundred")
    words += [f"and {_counted(str(int(second)), 'second', 'seconds')}"] if second else []
    return _kept_stop(m, " ".join([*words, *([f"{half}M"] if half else [])]))


def _phone(digits: str) -> str:
    plus = "plus " if digits.startswith("+") else ""
    return plus + ", ".join(map(one_by_one, re.findall(r"\d+", digits)))


def _local_phone(m: re.Match[str]) -> str:
    return _phone(m[0]) if int(m[0][4:]) % 50 else m[0]  # 300-1000 is a range, 555-1234 is none


def _money(m: re.Match[str]) -> str:
    sign, low, high, scale = m[1], m[2], m[3], SCALES.get((m[4] or "").lower(), "")
    singular, plural, cent, cents = CURRENCIES[sign.strip()]
    amount = high or low
    whole, _, part = amount.partition(".")
    if len(part) == 2 and cents and not scale and not high:  # 3.50 is coins, 3.5 is a figure
        coins = [_counted(whole, singular, plural)] if int(part) == 0 or whole.strip("0,") else []
        coins += [_counted(str(int(part)), cent, cents)] if int(part) else []
        return " and ".join(coins)
    price_of = _ARTICLE.search(m.string[: m.start()]) and re.match(" [a-z]", m.string[m.end() :])  # a $5 coffee
    unit = singular if (amount == "1" and not scale and not high) or price_of else plural
    return (f"{number(low)} to " if high else "") + " ".join(filter(None, (number(amount), scale, unit)))


def _counted(amount: str, singular: str, plural: str) -> str:
    return f"{number(amount)} {singular if amount == '1' else plural}"


def _measure(m: re.Match[str]) -> str:
    singular, plural = UNITS[m[3]]
    return f"{number(m[1])} {singular if m[1] == '1' or m[2] == '-' else plural}"


def _decade(m: re.Match[str]) -> str:
    words = year(m[1] + "0") if len(m[1]) == 3 else cardinal(m[1] + "0")
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def _dotted(m: re.Match[str]) -> str:
    parts = m[0].split(".")
    return (" point " if len(parts) < 4 else " dot ").join(map(cardinal, parts))  # four are an address


def _fraction(m: re.Match[str]) -> str:
    whole, top, bottom = m[1], m[2], m[3]
    if bottom in ("10", "100") or "." in top or top == bottom:  # a mark: 8/10, 4.5/5
        return f"{cardinal(whole) + ' ' if whole else ''}{number(top)} out of {cardinal(bottom)}"
    if bottom not in _DENOMINATORS or int(top) > int(bottom):
        return f"{cardinal(whole) + ' ' if whole else ''}{cardinal(top)} over {cardinal(bottom)}"
    part = {"2": "half", "4": "quarter"}.get(bottom) or ordinal(bottom)
    if top != "1":
        part += "s"
    return (
        f"{cardinal(whole)} and {'a' if top == '1' else cardinal(top)} {part}" if whole else f"{cardinal(top)} {part}"
    )


def _glyph(m: re.Match[str]) -> str:
    whole = f"{m[1]} " if m[1] else ""
    return whole + {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}[m[2]]


def _four_digits(m: re.Match[str]) -> str:
    """A year, unless things are counted: 1984 is said alike by most people either way, "2026 people" is not."""
    return m[0] if _THINGS.match(m.string[m.end() :]) and not _IN.search(m.string[: m.start()]) else year(m[0])


_MONTH_NAMES = tuple(dict.fromkeys(name for short, name in MONTHS.items() if short != "Sept"))
_DENOMINATORS = ("2", "3", "4", "5", "6", "7", "8", "9", "12", "16", "32", "64")
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_THINGS = re.compile(r" (?:people|men|women|children|(?!(?:is|was|has|this|its|as|us|plus)\b)[a-z]+s)\b")
_IN = re.compile(r"\b(?:in|since|until|by|year|during|late|early|before|after) $", re.IGNORECASE)
_ARTICLE = re.compile(r"\ban? $", re.IGNORECASE)
_DIGIT = re.compile(r"[\d½¼¾⅓⅔]")

# -- the rules, in the order in which they are tried ------------------------------------------------------------------


def _one_of(words: dict[str, str] | dict[str, tuple[str, str]] | dict[str, tuple[str, str, str, str]]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


def _rules(*rules: tuple[str, str | Say]) -> list[tuple[re.Pattern[str], str | Say]]:
    return [(re.compile(pattern), say) for pattern, say in rules]


_WHOLE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_NUMBER = rf"{_WHOLE}(?:\.\d+)?"
_AMOUNT = rf"(?<!\d)(?<!\d[.,]){_NUMBER}"  # begins where the digits do: or 400 digits are tried from each of them
_MONTH = _one_of(MONTHS)
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_SIGN = _one_of({sign: "" for sign in CURRENCIES if not sign.isalpha()})
_CODE = _one_of({code: "" for code in CURRENCIES if code.isalpha()})
_SCALE = r"(?i:hundred|thousand|[mbtr]+illion|mn|bn|[kmb])\b"
_TO = rf"(?: to (?:{_SIGN})?({_NUMBER}))?"
_UNIT = _one_of(UNITS)

_MONEY = re.compile(rf"({_CODE}|[€£]) ({_NUMBER})()(?: ?({_SCALE}))?")

_WORDS = _rules(
    (rf"(?<![\w.@/-])(?i:{_one_of(ABBREVIATIONS)})(?![\w@])", lambda m: _kept_stop(m, ABBREVIATIONS[m[0].lower()])),
    (rf"\b(Mr|Mrs|Dr)(?= [A-Z])|\b({_one_of(TITLES)})\.(?= [A-Z])", lambda m: TITLES[m[1] or m[2]]),
    (r"(?<=[a-z]) St\.?(?=[,;:]| [a-z]|$)", " Street"),
    (rf"\b(?i:({_one_of(NUMBERED)})\.) ?(?=\d)", lambda m: f"{NUMBERED[m[1].lower()]} "),
    (r"#(?=\d)", "number "),
    (r"\b(?:[A-Z]\.){2,}", lambda m: _kept_stop(m, m[0].replace(".", ""))),  # U.S.
    (
        r"\b(World War|Chapter|Part|Volume|Type|Phase|Act|Section|Level|Stage) ([IVX]+)\b",
        lambda m: f"{m[1]} {cardinal(str(_ROMAN.index(m[2]) + 1))}" if m[2] in _ROMAN else m[0],
    ),
    (r"(?<![A-Z] )\bWHO\b(?! [A-Z])", "W H O"),  # among capitals it is a word that is shouted
    (r"\b([\w.+-]{1,64})@(?=[\w-]+\.[a-z]{2})", lambda m: f"{m[1]} at ".replace(".", " dot ")),
    (r"(?<=[A-Za-z0-9])\.(?=[a-z][a-z0-9])|(?<=[A-Za-z])\.(?=\d)", " dot "),  # example.com, app.py, H.264
    (r"\bC\+\+", "C plus plus"),
    (r"\b([CF])#", r"\1 sharp"),
)
_NUMBERS = _rules(
    # dates
    (r"\b([12]\d{3})([-/.])([01]?\d)\2([0-3]?\d)\b", lambda m: _date(m[4], m[3], m[1]) or m[0]),
    (r"\b(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\b", _us_date),
    (rf"\b({_MONTH})\.? {_DAY}\b(?![:.,]\d)(?: ?[-–] ?{_DAY}\b)?(?:,? ([12]\d{{3}})\b)?", _month_day),
    (rf"\b(?:the )?{_DAY} (?:of )?({_MONTH})\b\.?(?:,? ([12]\d{{3}})\b)?", _day_month),
    (rf"\b({_MONTH})(?:\.(?= \d)|(?= \d{{4}}\b))", lambda m: MONTHS[m[1]]),
    (
        r"\b([Oo]n|[Bb]y|[Uu]ntil|[Bb]efore|[Aa]fter|[Ss]ince|[Ff]rom) (\d{1,2})/(\d{1,2})\b(?!/)",
        lambda m: f"{m[1]} {_date(m[3], m[2]) or m[0].partition(' ')[2]}",
    ),
    (r"\b24/7\b", "twenty-four seven"),
    (r"\b9/11\b(?!/)", "nine eleven"),
    (r"\b50[-/]50\b", "fifty-fifty"),
    # telephone
    (r"\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}", lambda m: _phone(m[0])),
    (r"(?<![\w.])\(?\d{3}\)?[-. ]\d{3}[-.]\d{4}\b|\(\d{2,4}\) ?\d{3,4}-?\d{3,4}\b", lambda m: _phone(m[0])),
    (r"\b\d+(?:-\d+){2,}\b|\b0\d{1,3}-\d{5,8}\b|\b0\d{8,10}\b", lambda m: _phone(m[0])),
    (r"(?<![\w.-])[2-9]\d{2}-\d{4}\b(?!-)", _local_phone),
    (r"\b((?i:call|dial|ring)(?: up)?) (\d{3,5})\b(?! [a-z]+s\b)", lambda m: f"{m[1]} {one_by_one(m[2])}"),
    # signs between numbers
    (r"(?<=\d) [-−–] (?=\d[^=]*=)", " minus "),
    (rf"(?<=[\d%])((?:°?[CF]| ?(?i:[ap]\.?m)\b\.?|[kc]m|kg|[kKMB]|[GM]B)?) ?[-–—~] ?(?=(?:{_SIGN})?\d)", r"\1 to "),
    (rf"(?<![\w.)])[-−](?=(?:{_SIGN})?\.?\d)", "minus "),
    (r"~ ?(?=\d)", "about "),
    (r"(?<=\d) ?[xX] ?(?=\d[^=]*=)", " times "),
    (r"(?<=\d) ?[xX] ?(?=\d)", " by "),
    (r"(?<=\d)[xX]\b", " times"),
    (r"(?<=\d) ?\* ?(?=\d)", " times "),
    (r"(?<=[\d)])\^(?=\d)", " to the power of "),
    (r" ?< ?(?=\d)", " less than "),
    (r" ?> ?(?=\d)", " more than "),
    # money
    (rf"(?<!\d)({_SIGN}) ?({_NUMBER}|\.\d+){_TO}(?:[ -]?({_SCALE}))?", _money),
    (rf"\b({_CODE}) ?({_NUMBER}){_TO}(?:[ -]?({_SCALE}))?", _money),
    (rf"(?<!/)({_AMOUNT})((?: ?{_SCALE})?) ?({_CODE}\b|[€£])", lambda m: _MONEY.sub(_money, f"{m[3]} {m[1]}{m[2]}")),
    (rf"({_AMOUNT}) ?¢", lambda m: _counted(m[1], "cent", "cents")),
    # time
    (r"\b([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?: ?(?i:([ap])\.?m\b\.?))?", _time),
    (
        r"\b(1[0-2]|0?[1-9]) ?(?i:([ap])\.?m\b\.?)",
        lambda m: _kept_stop(m, f"{cardinal(str(int(m[1])))} {m[2].upper()}M"),
    ),
    (r"(?<=\d):(?=\d)", " to "),  # a ratio
    # what is written with a mark of its own
    (
        r"\b(\d)['’′] ?(\d{1,2})[\"”″]",
        lambda m: f"{_counted(m[1], 'foot', 'feet')} {_counted(m[2], 'inch', 'inches')}",
    ),
    (
        r"\b(?:v|(?i:version) )(\d+\.\d+(?:\.\d+)*)",
        lambda m: f"version {' point '.join(map(cardinal, m[1].split('.')))}",
    ),
    (r"\b\d+(?:\.\d+){2,}\b", _dotted),
    (rf"\b({_WHOLE})(?:st|nd|rd|th)\b", lambda m: ordinal(m[1])),
    (r"['’]?\b(\d{3}|\d)0['’]?s\b", _decade),
    (r"((?<!\d)\d+)? ?([½¼¾⅓⅔])", _glyph),
    (r"(?<![\d/.])(?<!\d )\b(?:(\d+) )?(\d{1,3}(?:\.\d+)?)/(\d{1,3})\b(?!/)", _fraction),
    (rf"({_AMOUNT})([ -]?)({_UNIT})(?![\w/²³])", _measure),
    # plain numbers
    (r"(?<![\d,.])\b(?:1\d|20)\d{2}\b(?![,.]\d)", _four_digits),
    (r"(?<=[A-Za-z])-?(?=\d)|(?<=\d)(?=[A-Za-z])", " "),  # GPT-4o, 3D
    (r"(?<![\w.])\.(\d+)", lambda m: f"point {one_by_one(m[1])}"),
    (_NUMBER, lambda m: number(m[0])),
)
_SIGNS = _rules(
    (r"\bkm/h\b", "kilometers per hour"),
    (r"(?<=[A-Za-z])/(?=[A-Za-z])", " "),
    (r"#(?=\w)", ""),
    (rf"[{''.join(SIGNS)}]", lambda m: SIGNS[m[0]]),
    (r"\+(?=\s*\w)|(?<=\w)\+", " plus "),
)
