"""The PTransforms of beamstop."""
