"""kskit's and deidcm's functions under their own names."""
