"""Words of texts: which of them identify somebody, and which are medicine's own."""
