"""Replies as models write them, for hypothesis. Not a test itself."""

from hypothesis import strategies as st

# Words and marks as they occur in replies: hypothesis finds combinations, not bytes that no model writes.
FRAGMENTS = [
    "The", " weather", " is", " good", " 3.14", " 1,000", " Dr.", " U.S.", " e.g.", ",", ".", "!", "?", ";", " —",
    "...", "…", ":", "\n", "\n\n", "\n- ", "\n1. ", "\n# ", "\n> ", " **", "**", "*", "_", "`", " `code`", " (", ")",
    " [link](https://a.com/b)", " https://x.org/y.z",
    " me@x.org", " 😀", "😀", " 10:30", ' "', '"', "'s", "今天", "天气",
    "很好",
    "，", "。", "！", "？", "、", "：", "“", "”", "……", "因为", "Python", " because", " and it", " in the", " 5",
    "\n| a | b |", "\n|---|---|\n", "|", " $5", "$x$", "\\(", "<br>", "```", "\n```\n", "   ", " No.", " p.m.", " A",
    "好", "\u200b", "é",
]  # fmt: skip


replies = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)
