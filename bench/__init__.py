"""Benches: each prints its figure and the limit beside it."""
