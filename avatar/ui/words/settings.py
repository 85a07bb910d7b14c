"""The sidebar: settings, how words are said, persona."""

from typing import Final

ENGLISH: Final[dict[str, str]] = {
    # settings
    "settings": "Settings",
    "lang": "Language",
    "auto": "Automatic",
    "volume": "Volume of the reply (%)",
    "rate": "Speaking rate (%)",
    "mic": "Microphone",
    "mic_default": "The system's choice",
    "mic_n": "Microphone {n}",
    "patience": "Patience: how long I wait in a pause (ms)",
    "bargein": "Interrupting",
    "bargein_why": "How little of your voice stops me. “Stop” and “wait” always do.",
    "bargein_careful": "Careful",
    "bargein_normal": "Normal",
    "bargein_quick": "Quick",
    "duplex": "Loudspeaker nearby: do not listen while speaking",
    "caps": "Show captions under the ring",
    # how words are said
    "sayings": "How I say words",
    "saying_why": "A name or word that I say wrong: write it as it is written, then as it sounds.",
    "saying_written": "Written",
    "saying_spoken": "Said as",
    "saying_add": "Save",
    "saying_list": "Your words",
    "saying_row": "{written} is said as {spoken}",
    # voice
    "voice": "Voice of this conversation",
    "voice_default": "Voice: the engine's own",
    "voice_one": "Voice: {name} · {engine}",
    "voice_gone": "Voice: {name}, not here now",
    # persona
    "persona": "Who it is in this conversation",
    "persona_why": "How it should answer, for example: “You teach English. Correct my mistakes.” From the next reply "
    "on, and only here. The demo model is too small to follow it.",
    "persona_l": "Tell it",
    "persona_save": "Save",
    "persona_saved": "Saved. It counts from the next reply on.",
}

CHINESE: Final[dict[str, str]] = {
    "settings": "設定",
    "lang": "語言",
    "auto": "自動",
    "volume": "回覆音量（%）",
    "rate": "說話速度（%）",
    "mic": "麥克風",
    "mic_default": "系統預設",
    "mic_n": "麥克風 {n}",
    "patience": "耐心：停頓時等多久（毫秒）",
    "bargein": "打斷",
    "bargein_why": "聽到多少聲音就停下來。說「停」或「等一下」一定會停。",
    "bargein_careful": "謹慎",
    "bargein_normal": "一般",
    "bargein_quick": "靈敏",
    "duplex": "附近有喇叭：說話時不聆聽",
    "caps": "在圓環下方顯示字幕",
    "sayings": "字詞唸法",
    "saying_why": "名字或字詞唸錯了嗎？先寫原來的字，再寫要怎麼唸。",
    "saying_written": "原文",
    "saying_spoken": "唸成",
    "saying_add": "儲存",
    "saying_list": "您的字詞",
    "saying_row": "{written} 唸成 {spoken}",
    "voice": "這段對話的聲音",
    "voice_default": "聲音：引擎預設",
    "voice_one": "聲音：{name} · {engine}",
    "voice_gone": "聲音：{name}，目前無法使用",
    "persona": "它在這段對話裡的角色",
    "persona_why": "希望它怎麼回答，例如：「你是英語老師，請糾正我的錯誤。」從下一次回覆起生效，只用於這段對話。"
    "示範模型太小，做不到。",
    "persona_l": "告訴它",
    "persona_save": "儲存",
    "persona_saved": "已儲存，從下一次回覆起生效。",
}
