"""The five verbs that work on one instance; `beamstop_transforms` wires each under the same file name."""
