"""The engines, each one adapter file, and the ladder that chooses among them (pool.py)."""
