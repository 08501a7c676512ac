"""Suspects: which change caused an incident, and whether a version is worse than the one before it."""
