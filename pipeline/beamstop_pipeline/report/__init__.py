"""The report that is signed, and the page for reviewing clean pictures."""
