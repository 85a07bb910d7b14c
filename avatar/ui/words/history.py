"""The History tab."""

from typing import Final

ENGLISH: Final[dict[str, str]] = {
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
}

CHINESE: Final[dict[str, str]] = {
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
}
