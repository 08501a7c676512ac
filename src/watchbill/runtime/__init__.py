"""What every process stands on: database, ledger, due rows, configuration, logging, HTTP out."""
