"""How other tools tell of changes: one module per wire format, pure ``parse(body, headers)`` each."""
