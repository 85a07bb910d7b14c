"""Measurements of the real thing: one file per campaign."""
