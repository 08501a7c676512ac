"""The gate: may this go out now?"""
