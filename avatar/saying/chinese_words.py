"""What Chinese calls currencies, units and signs, in Simplified (mainland words) and Traditional (Taiwan's). Data only.

Each table has three columns: as it is written, Simplified, Traditional. {} is the number.
"""

from dataclasses import dataclass
from typing import Final

_CURRENCIES: Final = """
NT$ 新台币{}元 新台幣{}元
TWD 新台币{}元 新台幣{}元
NTD 新台币{}元 新台幣{}元
US$ {}美元 {}美元
USD {}美元 {}美元
$ {}美元 {}元
HK$ 港币{}元 港幣{}元
¥ {}元 {}元
￥ {}元 {}元
RMB 人民币{}元 人民幣{}元
CNY 人民币{}元 人民幣{}元
€ {}欧元 {}歐元
EUR {}欧元 {}歐元
£ {}英镑 {}英鎊
GBP {}英镑 {}英鎊
JPY {}日元 {}日圓
₩ {}韩元 {}韓元
"""  # in Taiwan a bare $ may be either dollar; 元 is right for both
_UNITS: Final = """
% 百分之{} 百分之{}
‰ 千分之{} 千分之{}
°C 摄氏{}度 攝氏{}度
℃ 摄氏{}度 攝氏{}度
°F 华氏{}度 華氏{}度
℉ 华氏{}度 華氏{}度
° {}度 {}度
km/h 每小时{}公里 每小時{}公里
mph 每小时{}英里 每小時{}英里
m/s 每秒{}米 每秒{}公尺
km² {}平方公里 {}平方公里
m² {}平方米 {}平方公尺
㎡ {}平方米 {}平方公尺
m³ {}立方米 {}立方公尺
km {}公里 {}公里
m {}米 {}公尺
cm {}厘米 {}公分
mm {}毫米 {}公釐
nm {}纳米 {}奈米
ft {}英尺 {}英尺
kg {}公斤 {}公斤
g {}克 {}公克
mg {}毫克 {}毫克
lb {}磅 {}磅
lbs {}磅 {}磅
oz {}盎司 {}盎司
L {}升 {}公升
ml {}毫升 {}毫升
mL {}毫升 {}毫升
Hz {}赫兹 {}赫茲
kHz {}千赫 {}千赫
MHz {}兆赫 {}百萬赫
GHz {}吉赫 {}吉赫
W {}瓦 {}瓦
kW {}千瓦 {}千瓦
kWh {}度电 {}度電
V {}伏 {}伏特
mAh {}毫安时 {}毫安時
dB {}分贝 {}分貝
kcal {}大卡 {}大卡
ms {}毫秒 {}毫秒
s {}秒 {}秒
min {}分钟 {}分鐘
h {}小时 {}小時
"""
_SIGNS: Final = """
+ 加 加
- 减 減
= 等于 等於
× 乘以 乘以
÷ 除以 除以
≈ 约等于 約等於
≠ 不等于 不等於
≤ 小于等于 小於等於
≥ 大于等于 大於等於
< 小于 小於
> 大于 大於
± 正负 正負
~ 约 約
° 度 度
& 和 和
"""


def _column(table: str, column: int) -> dict[str, str]:
    rows = (line.split() for line in table.strip().splitlines())
    return {row[0]: row[column] for row in rows}


@dataclass(frozen=True)
class Script:
    """The words of one script."""

    two: str  # of quantities: two people, two hundred
    groups: tuple[str, ...]  # "", ten thousand, hundred million, million million
    point: str
    minus: str
    hour: str
    currencies: dict[str, str]
    units: dict[str, str]
    signs: dict[str, str]


SIMPLIFIED: Final = Script(
    "两", ("", "万", "亿", "万亿"), "点", "负", "点", *(_column(table, 1) for table in (_CURRENCIES, _UNITS, _SIGNS))
)
TRADITIONAL: Final = Script(
    "兩", ("", "萬", "億", "兆"), "點", "負", "點", *(_column(table, 2) for table in (_CURRENCIES, _UNITS, _SIGNS))
)

# Before these, 2 is 兩 and not 二, in either script. Not 月 日 號 樓 段: there it is the second.
MEASURES: Final = (
    "个個名位人只隻条條张張本杯瓶碗盘盤件套双雙对對次回遍趟天周週秒岁歲种種类類样樣项項间間家所座栋棟棵朵颗顆粒块塊片层層"
    "支枝把辆輛台臺架艘首幅句篇份顿頓餐场場局盒组組排群批倍元万萬亿億兆千百公英米克升斤吨噸里坪度点點分小刻头頭匹页頁部夜晚"
)
