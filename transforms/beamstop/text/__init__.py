"""Text in pictures: where it can be, what finds it, which of it may stay, and hiding the rest."""
