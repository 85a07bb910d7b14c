"""AVATAR: a voice assistant on your own machine that answers in a voice you choose."""

__version__ = "0.1.0"
