"""Other tools' wire formats: one module each, a pure ``parse(body, headers) -> events`` and its reply."""
