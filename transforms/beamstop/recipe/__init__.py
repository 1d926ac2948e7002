"""Recipes: the one file that says what is done to an archive."""
