"""Text in pictures: where it can be, how it is found, what may stay, and hiding the rest."""
