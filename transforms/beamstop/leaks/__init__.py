"""The leak search: what is searched for in a finished file, and how."""
