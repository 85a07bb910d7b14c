"""Whose turn it is, from 20 ms of microphone at a time: voice activity, end of turn, interruption.

Pure and synchronous: time is counted in received samples, and nothing here knows sockets, threads, asyncio or engines.
"""
