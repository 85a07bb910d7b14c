"""Every sentence of the page, once: gr.I18n for native components, the same table as a prop for the stage's script.

Knows no component. A sentence says what happened, why, and what to do next, in that order.
"""

from typing import Final

import gradio as gr

from avatar.errors import AvatarError

Table = dict[str, str]

ENGLISH: Final[Table] = {
    # tabs and stage buttons
    "tab_talk": "Talk",
    "tab_history": "History",
    "tab_status": "Status",
    "start": "Start talking",
    "end": "End",
    "mute": "Mute",
    "unmute": "Unmute",
    "interrupt": "Interrupt",
    "retry": "Try again",
    "back": "Back to Talk",
    # states of the stage: st_ is the word, hi_ the hint below it, no_ the notice of a fault
    "st_idle": "Ready",
    "hi_idle": "Press Start and speak, or hold Space.",
    "st_connecting": "Connecting",
    "hi_connecting": "Opening the microphone.",
    "st_listening": "Listening",
    "hi_listening": "Go ahead, I hear you.",
    "st_pausing": "Listening",
    "hi_pausing": "I answer when the ring closes.",
    "st_thinking": "Thinking",
    "hi_thinking": "Keep talking to add to it, or press Interrupt.",
    "st_speaking": "Speaking",
    "hi_speaking": "Just talk to interrupt.",
    "st_muted": "Muted",
    "hi_muted": "I hear nothing until you unmute.",
    "st_full": "All {of} seats are taken",
    "no_full": "<b>A seat frees up when someone ends or closes the page.</b>This page looks every 5 seconds and "
    "says so "
    "when you can start. History works meanwhile.",
    "st_refused": "The microphone is blocked",
    "no_refused": "<b>Your browser did not allow it for this page.</b>Press the icon left of the address, set "
    "Microphone "
    "to Allow, then Try again. Typing and recordings work without it.",
    "st_missing": "No microphone found",
    "no_missing": "<b>The browser sees no microphone on this computer.</b>Plug one in, or switch it on in the system's "
    "sound settings, then Try again. Typing works without it.",
    "st_inuse": "The microphone is in use",
    "no_inuse": "<b>The system would not hand it over, usually because another program holds it.</b>Close that "
    "program, "
    "or choose another microphone in Settings, then Try again. Typing works meanwhile.",
    "st_insecure": "No microphone on this address",
    "no_insecure": "<b>Browsers allow it only on https or localhost, and this page is {origin}.</b>Open AVATAR on the "
    "machine itself, use its share link, or serve it over https. Typing and recordings work here.",
    "st_lost": "Connection lost",
    "no_lost": "<b>Reconnecting, try {n}.</b>Your conversation is kept and goes on where it stopped.",
    "st_offline": "No live connection",
    "no_offline": "<b>The live connection did not open within 3 seconds; something between us may not pass it on.</b>"
    "Record a message below, or type: both are answered aloud. Try again looks for the connection once more.",
    "st_tongue": "I cannot hear 中文 yet",
    "no_tongue": "<b>{name} understands no 中文, so I do not listen and guess.</b>{get} Typing in 中文 works, or "
    "choose "
    "another language in Settings.",
    "get_rung": "It needs {name}: {why}",
    "get_none": "Status shows which engines can be added.",
    "stopped": "Stopped. Go on.",
    "nothing": "I heard no words. Is the right microphone chosen?",
    "seat_free": "A seat is free. Press Start.",
    "idle_soon": "Still there? I free this seat in {left} s. Say something to keep it.",
    "english_only": "{name} understands English only.",
    "demo": "Demo model, 135 M parameters",
    "warming": "Warming up, {pct} %",
    "not_ready": "Not ready yet",
    "coming": "Better: {name} is arriving, {pct} %",
    "ai": "AI voice",
    "seats": "{n} of {of} seats",
    "lat_none": "The time of each reply shows here. Goal: 500 ms.",
    "lat_what": "to first sound",
    "lat_in": "within goal of 500",
    "lat_over": "{by} ms over goal of 500",
    "lat_eot": "Turn end",
    "lat_stt": "Hears",
    "lat_llm": "Thinks",
    "lat_tts": "Speaks",
    "lat_read": "Last reply took {total} milliseconds: end of turn {eot}, hearing {stt}, thinking {llm}, speaking "
    "{tts}.",
    "k_space": "hold to talk",
    "k_esc": "interrupt",
    "k_enter": "send text",
    # conversation
    "chat": "Conversation",
    "empty": "What you both say appears here. It stays on this machine.",
    "type": "Type instead, Enter sends",
    "record": "Record a message instead",
    "record_l": "Works without the live connection",
    "new": "New conversation",
    "reply_audio": "Reply, AI speech",
    "play_reply": "Play reply {n}",
    "play_user": "Play what you said, turn {n}",
    "replay_reply": "Reply {n}, AI speech",
    "replay_user": "What you said, turn {n}",
    "replay_gone": "This sound is not there any more. It may have been deleted.",
    "interrupted": "Interrupted after {s} s",
    # settings
    "settings": "Settings",
    "lang": "Language",
    "auto": "Automatic",
    "mic": "Microphone",
    "mic_default": "The system's choice",
    "mic_n": "Microphone {n}",
    "patience": "Patience: how long I wait in a pause (ms)",
    "duplex": "Loudspeaker nearby: do not listen while speaking",
    "caps": "Show captions under the ring",
    # history
    "conversations": "Conversations, newest first",
    "no_history": "Nothing kept yet. Each conversation appears here once a turn is finished.",
    "pick": "Choose a conversation to read and hear it.",
    "untitled": "Untitled",
    "turns_1": "1 turn",
    "turns_n": "{n} turns",
    "today": "Today {time}",
    "yesterday": "Yesterday {time}",
    "older": "Show older",
    "continue": "Continue",
    "rename": "Rename",
    "rename_l": "New name, Enter saves",
    "delete": "Delete",
    "delete_ask": "Delete “{title}” with its sound? This cannot be undone.",
    "delete_yes": "Delete it",
    "delete_no": "Keep it",
    "deleted": "Deleted.",
    # status
    "seats_used": "Seats in use",
    "of": "of {of}",
    "p50": "First sound, usual turn (P50)",
    "p95": "First sound, slowest 5 % (P95)",
    "goal": "goal {ms}",
    "goal_over": "{by} over goal {ms}",
    "no_turns": "after the first turn",
    "memory_cpu": "Memory, no GPU found",
    "memory_gpu": "GPU memory",
    "memory_ram": "Memory",
    "of_gib": "of {gib} GiB",
    "percent": "{pct} percent",
    "stage_stt": "speech to text",
    "stage_llm": "language model",
    "stage_tts": "text to speech",
    "serving": "Serving",
    "rung_ready": "Ready",
    "rung_cold": "Loads when needed",
    "rung_warming": "Warming {pct} %",
    "rung_warming_": "Warming",
    "rung_absent": "Not installed",
    "rung_failed": "Cannot run",
    "clones": "clones voices",
    "demo_rung": "demo model",
    "many_languages": "{n} languages",
    "lang_en": "English",
    "lang_zh": "中文",
    "where_time": "Where the time goes",
    "last_turns": "Last 30 turns, to first sound",
    "plot_empty": "The plots appear after the first turn.",
    "turn": "turn",
    # failures by code; where there is no entry the sentence of the error itself is shown
    "err_SERVER_FULL": "All seats are taken. A seat frees up when someone ends or closes the page; try again then.",
    "err_NOT_FOUND": "This is not there any more. It may have been deleted in another window.",
    "err_BAD_MESSAGE": "The page and the server do not understand each other. Reload the page.",
    "err_IDLE": "The seat was freed because nobody spoke for a while. Press Start to go on where you stopped.",
    "err_UNREACHABLE": "The server does not answer. Is AVATAR still running? Nothing you typed is lost.",
}

CHINESE: Final[Table] = {
    "tab_talk": "對話",
    "tab_history": "紀錄",
    "tab_status": "狀態",
    "start": "開始說話",
    "end": "結束",
    "mute": "靜音",
    "unmute": "取消靜音",
    "interrupt": "打斷",
    "retry": "再試一次",
    "back": "回到對話",
    "st_idle": "準備好了",
    "hi_idle": "按「開始說話」，或按住空白鍵。",
    "st_connecting": "連線中",
    "hi_connecting": "正在開啟麥克風。",
    "st_listening": "聆聽中",
    "hi_listening": "請說，我在聽。",
    "st_pausing": "聆聽中",
    "hi_pausing": "慢慢說，圓環合上時我才回答。",
    "st_thinking": "思考中",
    "hi_thinking": "可以繼續補充，或按「打斷」。",
    "st_speaking": "說話中",
    "hi_speaking": "直接開口就能打斷。",
    "st_muted": "已靜音",
    "hi_muted": "取消靜音前，我聽不到任何聲音。",
    "st_full": "{of} 個座位都有人",
    "no_full": "<b>有人結束或關閉頁面時，就會空出座位。</b>本頁每 5 秒查看一次，可以開始時會通知您。"
    "這段時間仍可使用「紀錄」。",
    "st_refused": "麥克風被封鎖了",
    "no_refused": "<b>瀏覽器不允許本頁使用麥克風。</b>請按網址左邊的圖示，將麥克風設為「允許」，再按「再試一次」。"
    "打字和錄音不受影響。",
    "st_missing": "找不到麥克風",
    "no_missing": "<b>瀏覽器在這台電腦上找不到麥克風。</b>請接上麥克風，或在系統的音效設定中開啟，"
    "再按「再試一次」。打字不受影響。",
    "st_inuse": "麥克風使用中",
    "no_inuse": "<b>系統無法交出麥克風，多半是被其他程式占用。</b>請關閉該程式，或在「設定」選擇另一支麥克風，"
    "再按「再試一次」。"
    "這段時間可以打字。",
    "st_insecure": "這個網址不能使用麥克風",
    "no_insecure": "<b>瀏覽器只在 https 或 localhost 開放麥克風，而本頁是 {origin}。</b>請在主機本身開啟、"
    "使用分享連結，"
    "或改用 https。打字和錄音仍可使用。",
    "st_lost": "連線中斷",
    "no_lost": "<b>正在重新連線，第 {n} 次。</b>對話已保留，會從中斷處繼續。",
    "st_offline": "沒有即時連線",
    "no_offline": "<b>即時連線在 3 秒內沒有開啟，中間可能有設備不讓它通過。</b>請在下方錄音或打字，兩者都會出聲回答。"
    "按「再試一次」會重新連線。",
    "st_tongue": "我還聽不懂中文",
    "no_tongue": "<b>{name} 不懂中文，所以我先不聽，以免亂猜。</b>{get}用中文打字沒有問題，"
    "也可以在「設定」選擇其他語言。",
    "get_rung": "需要 {name}：{why}",
    "get_none": "「狀態」頁列出可以加裝的引擎。",
    "stopped": "已停止，請說。",
    "nothing": "沒有聽到話語。麥克風選對了嗎？",
    "seat_free": "有空位了，請按「開始說話」。",
    "idle_soon": "還在嗎？{left} 秒後會讓出座位，說句話就能保留。",
    "english_only": "{name} 只聽得懂英語。",
    "demo": "示範模型，1.35 億參數",
    "warming": "準備中 {pct} %",
    "not_ready": "尚未就緒",
    "coming": "更好的引擎：{name} 準備中 {pct} %",
    "ai": "AI 語音",
    "seats": "座位 {n}／{of}",
    "lat_none": "每次回覆的時間會顯示在這裡。目標 500 ms。",
    "lat_what": "到第一個聲音",
    "lat_in": "達成目標 500 ms",
    "lat_over": "超過目標 500 ms 共 {by} ms",
    "lat_eot": "判斷說完",
    "lat_stt": "聽",
    "lat_llm": "想",
    "lat_tts": "說",
    "lat_read": "上一次回覆花了 {total} 毫秒：判斷說完 {eot}、聽 {stt}、想 {llm}、說 {tts}。",
    "k_space": "按住說話",
    "k_esc": "打斷",
    "k_enter": "送出文字",
    "chat": "對話內容",
    "empty": "雙方說的話會出現在這裡，只留在這台電腦上。",
    "type": "也可以打字，按 Enter 送出",
    "record": "改用錄音留言",
    "record_l": "不需要即時連線",
    "new": "新的對話",
    "reply_audio": "回覆，AI 語音",
    "play_reply": "播放第 {n} 輪的回覆",
    "play_user": "播放您在第 {n} 輪說的話",
    "replay_reply": "第 {n} 輪的回覆，AI 語音",
    "replay_user": "您在第 {n} 輪說的話",
    "replay_gone": "這段聲音已經不在了，可能已被刪除。",
    "interrupted": "{s} 秒後被打斷",
    "settings": "設定",
    "lang": "語言",
    "auto": "自動",
    "mic": "麥克風",
    "mic_default": "系統預設",
    "mic_n": "麥克風 {n}",
    "patience": "耐心：停頓時等多久（毫秒）",
    "duplex": "附近有喇叭：說話時不聆聽",
    "caps": "在圓環下方顯示字幕",
    "conversations": "對話，由新到舊",
    "no_history": "還沒有紀錄。每段對話完成一輪後就會出現在這裡。",
    "pick": "請選擇一段對話來閱讀和聆聽。",
    "untitled": "未命名",
    "turns_1": "1 輪",
    "turns_n": "{n} 輪",
    "today": "今天 {time}",
    "yesterday": "昨天 {time}",
    "older": "顯示更早的",
    "continue": "繼續",
    "rename": "重新命名",
    "rename_l": "新的名稱，按 Enter 儲存",
    "delete": "刪除",
    "delete_ask": "要刪除「{title}」和它的聲音嗎？刪除後無法復原。",
    "delete_yes": "確定刪除",
    "delete_no": "保留",
    "deleted": "已刪除。",
    "seats_used": "使用中的座位",
    "of": "／{of}",
    "p50": "到第一個聲音，一般（P50）",
    "p95": "到第一個聲音，最慢 5 %（P95）",
    "goal": "目標 {ms}",
    "goal_over": "超過目標 {ms} 共 {by}",
    "no_turns": "第一輪之後顯示",
    "memory_cpu": "記憶體，未找到 GPU",
    "memory_gpu": "GPU 記憶體",
    "memory_ram": "記憶體",
    "of_gib": "／{gib} GiB",
    "percent": "百分之 {pct}",
    "stage_stt": "語音轉文字",
    "stage_llm": "語言模型",
    "stage_tts": "文字轉語音",
    "serving": "服務中",
    "rung_ready": "就緒",
    "rung_cold": "需要時載入",
    "rung_warming": "準備中 {pct} %",
    "rung_warming_": "準備中",
    "rung_absent": "未安裝",
    "rung_failed": "無法執行",
    "clones": "可複製聲音",
    "demo_rung": "示範模型",
    "many_languages": "{n} 種語言",
    "lang_en": "英語",
    "lang_zh": "中文",
    "where_time": "時間花在哪裡",
    "last_turns": "最近 30 輪，到第一個聲音",
    "plot_empty": "第一輪之後會出現圖表。",
    "turn": "輪",
    "err_SERVER_FULL": "座位都有人。有人結束或關閉頁面時會空出座位，請到時再試。",
    "err_NOT_FOUND": "這個已經不在了，可能已在另一個視窗刪除。",
    "err_BAD_MESSAGE": "本頁和伺服器無法溝通，請重新載入本頁。",
    "err_IDLE": "有一段時間沒有人說話，座位已讓出。按「開始說話」就能從中斷處繼續。",
    "err_UNREACHABLE": "伺服器沒有回應。AVATAR 還在執行嗎？您打的字都還在。",
    "err_AUDIO_UNREADABLE": "這個檔案裡沒有我讀得出的聲音。請試試 wav、mp3、m4a、ogg 或影片。",
    "err_STORAGE_FAILED": "磁碟無法寫入，這一輪沒有留存。請清出空間，再繼續說。",
    "err_ENGINE_FAILED": "引擎中途停了，正由另一個接手。您說的話都還在。",
    "err_ENGINE_TIMEOUT": "引擎太久沒有回應，正由另一個接手。請再說一次。",
    "err_NO_ENGINE": "目前沒有可用的引擎，「狀態」頁說明原因。",
}

STRINGS: Final[dict[str, Table]] = {"en": ENGLISH, "zh-TW": CHINESE}


def translations() -> gr.I18n:
    """The table for Gradio; every Chinese browser gets our one Chinese table, as live.js does."""
    return gr.I18n(en=ENGLISH, **dict.fromkeys(("zh-TW", "zh-HK", "zh-CN", "zh"), CHINESE))


T: Final = translations()


def language_of(accept_language: str | None) -> str:
    """ "zh-TW" when the browser's first language is any Chinese, else "en"."""
    return "zh-TW" if (accept_language or "").strip().lower().startswith("zh") else "en"


def say(key: str, language: str, **values: object) -> str:
    """The sentence `key`, filled in."""
    return STRINGS[language][key].format(**values)


def failure(error: AvatarError, language: str) -> str:
    """What to tell about `error`: the table's sentence for its code, else the error's own."""
    return STRINGS[language].get(f"err_{error.code}", error.sentence)
