"""Runnable examples: a small shop, and the demo that breaks and mends it."""
