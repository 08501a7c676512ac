"""Alembic's scripts. Expand first, contract a release later: old and new processes run side by side."""
