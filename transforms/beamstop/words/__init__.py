"""Words in texts: which ones identify somebody, and which ones are medical."""
