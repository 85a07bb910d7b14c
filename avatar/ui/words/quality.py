"""The switch between the fast and the HQ voice, on the Talk tab, and HQ takes in the conversation."""

from typing import Final

ENGLISH: Final[dict[str, str]] = {
    "quality": "Voice quality in this conversation",
    "quality_fast": "Fast",
    "quality_hq": "HQ",
    "hq_ready": "{name} speaks here, from the next reply on.",
    "hq_warming": "{name} is loading, {pct} %. The fast voice answers until it is there.",
    "hq_warming_": "{name} is loading. The fast voice answers until it is there.",
    "hq_cold": "{name} is loaded at the next reply. The fast voice answers until it is there.",
    "hq_needs": "The fast voice answers here. HQ needs {name}: {why}",
    "hq_none": "The fast voice answers here: this AVATAR has no HQ engine. On a graphics card make run-gpu brings one.",
    "hq_tag": "HQ",
    "play_hq": "Play reply {n} in the HQ voice",
    "replay_hq": "Reply {n} in the HQ voice, AI speech",
}

CHINESE: Final[dict[str, str]] = {
    "quality": "這段對話的語音品質",
    "quality_fast": "快速",
    "quality_hq": "高品質",
    "hq_ready": "從下一次回覆起，由 {name} 說話。",
    "hq_warming": "{name} 載入中 {pct} %，好了之前先用快速語音回答。",
    "hq_warming_": "{name} 載入中，好了之前先用快速語音回答。",
    "hq_cold": "下一次回覆時會載入 {name}，好了之前先用快速語音回答。",
    "hq_needs": "目前用快速語音回答。高品質需要 {name}：{why}",
    "hq_none": "目前用快速語音回答：這個 AVATAR 沒有高品質引擎。有顯示卡的電腦可執行 make run-gpu 加裝。",
    "hq_tag": "高品質",
    "play_hq": "以高品質語音播放第 {n} 輪的回覆",
    "replay_hq": "第 {n} 輪的回覆，高品質，AI 語音",
}
