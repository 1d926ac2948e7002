"""Text in pictures: where it can be, what finds it, what may stay, and hiding the rest."""
