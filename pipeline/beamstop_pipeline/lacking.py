"""Sentences about the networks that a text detector lacks, for the start of a run and its report."""

from collections.abc import Iterable

from beamstop.ocr.weights import CRAFT, DBNET, DIGESTS, PP_OCR

_SENTENCES = {
    DBNET: "the small text detector is not installed: CRAFT searches every picture, which takes three times "
    "the CPU and finds other boxes",
    PP_OCR: "PP-OCR's recogniser is not installed: english_g2 reads instead, which knows only ASCII "
    "letters and fewer words",
}
_CRAFT = f"craft-{DIGESTS[CRAFT][:12]}"
_SIGNS = {DBNET: f"dbnet-{DIGESTS[DBNET][:12]}", PP_OCR: f"doubts-{DIGESTS[PP_OCR][:12]}"}


def warnings_of(missing: Iterable[str]) -> tuple[str, ...]:
    """Return a sentence for each network that is not installed here, with the remedy.

    Args:
        missing: names of weights, see `beamstop.ocr.detector.Prepared`.
    """
    return tuple(f"{_SENTENCES[name]}; install beamstop's wheel, or run make networks" for name in missing)


def lacks_of(engines: Iterable[str]) -> list[str]:
    """Return a sentence for each network that any detector of a run lacked, by its record.

    Args:
        engines: the record's, fingerprints of text detectors; only ours count.
    """
    seen = [words for engine in engines if _CRAFT in (words := engine.split())]
    said = (name for name in _SENTENCES if any(_SIGNS[name] not in words for words in seen))
    return [_SENTENCES[name].replace("is not installed", "was not installed") for name in said]
