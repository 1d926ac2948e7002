"""The independent check behind `beamstop verify`: of the archive and of the audit."""
