"""The ledger: what earlier runs wrote and decided, and what the sources of this one claim."""
