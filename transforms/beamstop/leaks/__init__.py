"""The leak search in finished files: needles, scan and search."""
