"""One module per feature that has a say in the manifest: its struct, its checks, its part of an apply."""
