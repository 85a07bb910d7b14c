"""The Voices tab. `q_` are findings about a recording (avatar/clip.py): what was found, and what to do better.

`{value}` is a number in the aspect's own unit, already written out: seconds, percent, decibels, kilohertz.
"""

from typing import Final

ENGLISH: Final[dict[str, str]] = {
    "q_length_refuse": "Too short: {value} s. Record at least 3 seconds, best 8 to 15.",
    "q_length_warn": "A little short: {value} s. It works, but 8 to 15 seconds sound more like you.",
    "q_length_fine": "Long enough: {value} s.",
    "q_speech_refuse": "Hardly any speech in it: {value} %. Read a few sentences aloud, close to the microphone.",
    "q_speech_warn": "Much silence: speech is {value} % of it. Read on without long pauses.",
    "q_speech_fine": "Speech is {value} % of it.",
    "q_noise_refuse": "The noise is nearly as loud as the voice ({value} dB). Record again in a quiet room.",
    "q_noise_warn": "Noisy: the voice is only {value} dB above the background. Close windows, switch off fans.",
    "q_noise_fine": "Quiet background: the voice is {value} dB above it.",
    "q_clipping_refuse": "Badly overdriven: {value} % of it. Turn the microphone down and record again.",
    "q_clipping_warn": "Overdriven in loud places: {value} %. Speak softer or turn the microphone down.",
    "q_clipping_fine": "Not overdriven.",
    "q_bandwidth_refuse": "Very dull: nothing above {value} kHz. Record with another microphone.",
    "q_bandwidth_warn": "Dull like a telephone: nothing above {value} kHz. Use the microphone itself, not a call.",
    "q_bandwidth_fine": "Clear sound up to {value} kHz.",
    "q_level_refuse": "Nearly silent: {value} dB. Turn the microphone up or come closer.",
    "q_level_warn": "Very soft: {value} dB. Come closer to the microphone.",
    "q_level_fine": "Good loudness.",
    "q_speakers_refuse": "More than one person speaks. Record one voice alone.",
    "q_speakers_warn": "There may be more than one person in it. Record one voice alone, or choose a piece with one.",
    "q_speakers_fine": "One voice throughout.",
    "q_start_warn": "It begins inside a word. Start recording a moment before you speak.",
    "q_start_fine": "It begins in silence.",
    "q_end_warn": "It ends inside a word. Wait a moment before you stop recording.",
    "q_end_fine": "It ends in silence.",
    "q_speakers_unknown": "Whether it is one voice could not be checked: the speaker model is not on this machine.",
}

CHINESE: Final[dict[str, str]] = {
    "q_length_refuse": "太短了，只有 {value} 秒。請至少錄 3 秒，最好 8 到 15 秒。",
    "q_length_warn": "有點短，只有 {value} 秒。可以使用，但錄 8 到 15 秒會更像您的聲音。",
    "q_length_fine": "長度足夠：{value} 秒。",
    "q_speech_refuse": "幾乎沒有人聲，只占 {value} %。請靠近麥克風，朗讀幾個句子。",
    "q_speech_warn": "空白很多，人聲只占 {value} %。請連續朗讀，不要停頓太久。",
    "q_speech_fine": "人聲占 {value} %。",
    "q_noise_refuse": "噪音幾乎和人聲一樣大（{value} dB）。請在安靜的房間重錄。",
    "q_noise_warn": "有噪音，人聲只比背景高 {value} dB。請關上窗戶，關掉電扇和音樂。",
    "q_noise_fine": "背景安靜，人聲比背景高 {value} dB。",
    "q_clipping_refuse": "嚴重爆音，占 {value} %。請調低麥克風音量後重錄。",
    "q_clipping_warn": "大聲的地方有爆音，占 {value} %。請小聲一點，或調低麥克風音量。",
    "q_clipping_fine": "沒有爆音。",
    "q_bandwidth_refuse": "聲音非常悶，{value} kHz 以上什麼都沒有。請換一支麥克風錄音。",
    "q_bandwidth_warn": "聲音像電話一樣悶，{value} kHz 以上什麼都沒有。請直接用麥克風錄，不要錄通話。",
    "q_bandwidth_fine": "聲音清晰，高音到 {value} kHz。",
    "q_level_refuse": "幾乎沒有聲音（{value} dB）。請調高麥克風音量，或靠近一點。",
    "q_level_warn": "聲音很小（{value} dB）。請靠近麥克風。",
    "q_level_fine": "音量適中。",
    "q_speakers_refuse": "裡面不只一個人在說話。請只錄一個人的聲音。",
    "q_speakers_warn": "裡面可能不只一個人在說話。請只錄一個人的聲音，或選只有一個人的片段。",
    "q_speakers_fine": "從頭到尾是同一個聲音。",
    "q_start_warn": "開頭切在字的中間。請先按錄音，稍等再開口。",
    "q_start_fine": "開頭有留白。",
    "q_end_warn": "結尾切在字的中間。說完後請稍等再停止錄音。",
    "q_end_fine": "結尾有留白。",
    "q_speakers_unknown": "無法確認是否只有一個聲音：這部電腦上沒有辨識說話者的模型。",
}
