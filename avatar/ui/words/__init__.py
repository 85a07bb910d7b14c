"""Every sentence of the page in English and Traditional Chinese, one file per part of it; `ui.strings` joins them.

A sentence says what happened, why, and what to do next, in that order.
"""
