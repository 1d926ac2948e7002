"""The commands of `beamstop`, a module each."""
