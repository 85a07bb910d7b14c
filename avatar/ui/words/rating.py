"""How good a reply sounded: the numbers below it, and their means on Status."""

from typing import Final

ENGLISH: Final[dict[str, str]] = {
    "rate_it": "Rate the sound",
    "rated": "Sound {n}/10",
    "rate_one": "Reply {n}, sound",
    "rate_what": "{n} of 10",
    "rate_undo": "{n} of 10, chosen. Press again to take it back",
    "scores": "How it sounds, as you rated it",
    "scores_none": "No ratings yet. Below each reply you can rate its sound from 1 to 10.",
    "score": "{engine}, {voice}",
    "score_n": "{mean} of 10 (n = {n})",
    "score_own": "the engine's own voice",
    "score_profile": "a voice of yours",
}

CHINESE: Final[dict[str, str]] = {
    "rate_it": "為聲音評分",
    "rated": "聲音 {n}/10",
    "rate_one": "第 {n} 個回覆，聲音",
    "rate_what": "{n} 分，滿分 10 分",
    "rate_undo": "已評 {n} 分，滿分 10 分。再按一次即可取消",
    "scores": "您對聲音的評分",
    "scores_none": "還沒有評分。每個回覆下方都能為聲音評 1 到 10 分。",
    "score": "{engine}，{voice}",
    "score_n": "{mean} 分，滿分 10 分（n = {n}）",
    "score_own": "引擎預設的聲音",
    "score_profile": "您的聲音",
}
