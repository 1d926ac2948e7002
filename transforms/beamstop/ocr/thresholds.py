"""The thresholds of the text detector: one set, whose digest is in every detector's fingerprint."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

Band = tuple[float, float]
Reduction = tuple[tuple[float, int], float, Band | None]

_FINE, _COARSE = (0.7, 2.0), (1.0, 2.5)
_BANDS: tuple[Reduction, ...] = (((1 / 2, 1200), 1.0, _COARSE), ((1 / 4, 600), 1.0, _COARSE))


@dataclass(frozen=True)
class Thresholds:
    """Every number that decides which boxes are found, and what is read in them.

    Lengths are pixels of the picture as the network sees it, scores 0 to 1, steps are differences of grey.
    How they were chosen: docs/detectors.md and docs/measurements/text-detection.md.

    Attributes:
        text, link, low: CRAFT's scores for detecting text, not for reading it: EasyOCR's .7/.4/.4 miss faint
            and small text. Among the boxes that 252 drawn pictures and both networks left to decide, all that
            scored less than .5 were anatomy or curves.
        sure: a box with a lower score counts only if DBNet sees text there, too, and a step stands out from
            the noise: without a step, anatomy scores up to .7; written words score more.
        step, around, percentile: a step stands out if it is `step` times the median step within `around`
            pixels; of the steps inside a box, that at `percentile` counts.
        throughout: at least this share of a box in a large picture must be sharp: of words, .97 and more is
            sharp; of bones in noise, .4 at most.
        tall, marked: of a box larger than `tall`, DBNet must mark the share `marked`: it marks .15 and more
            of lines of text, and .1 at most of such anatomy. Of small boxes it may miss most.
        proposed, worth, near, context, core: DBNet proposes a spot that scores `worth` somewhere, as far as
            it scores `proposed`, with a margin of `context` of a letter or `near` pixels. It marks the core
            of a line, about `core` of the letters' height.
        certain, letters, beside: a core that scores `certain` on average, with `letters` of such a height, is
            a line, with a margin of `beside` of a letter, if CRAFT sees any text in it at small size. Of
            drawn words, 4 in 5 are such lines, and nothing else is. In real pictures, so are kidneys, whose
            "letters" are larger, and coloured noise, in which CRAFT sees nothing.
        small: letters up to this height are doubled for CRAFT; to confirm a line, none is shown larger.
        huge, far: letters larger than `huge` are mostly anatomy, and most of the work: they are examined only
            if a step stands out `far`, and CRAFT sees text when they are reduced to `huge`. Of drawn words,
            it then scored .84 and more; of anatomy, .27 at most, with one exception.
        dim: a core that scores less on average is not examined: drawn words scored .37 and more.
        same: if a larger box covers this share of a box, the two are the same: the rest contains no glyph.
        sparse: places are joined unless the joined place is more than this many times as large.
        coarse, reduced: pictures larger than `large` are also searched as a whole for blurred letters, which
            are large: reduced by `coarse`, and to `reduced` pixels at most.
        unblur, unblurred: if that finds any, it is repeated on a sharpened picture: the difference to one
            blurred by `unblurred` pixels is added `unblur` times.
        blurred_at: longest side of a picture → further searches, for lines of larger letters and of letters
            in noise. Each has the factor by which the picture is reduced, the longest side at most, the
            factor by which it is enlarged again, and the pixels of the two blurs whose difference is shown,
            if any: such a band shows soft letters across noise and bones, where the surroundings differ more
            than the letters. A fine one shows small letters, a coarse one those across bones. Of 55
            drawn, blurred words of 64 to 110 pixels, 1 was found without these searches and 45 with them.
            Scans have up to 1600 pixels: for these, enlarging twice finds words that the reduced size alone
            does not. In larger pictures it found nothing more.
        alike, above_ground: a line continues if its strokes are `alike` times as strong as in the part that
            was found, and `above_ground` times as strong as above or below it.
        continued: longest side of a picture → gaps that a line may have, and how far it may continue, times
            its height. In small pictures, networks miss at most some letters where the ground changes; what
            continues further is anatomy.
        likely, wide, word, barely, kinds: a core that scores `likely` on average and is `wide` times as long
            as high is text if `word` letters are read in it with a confidence of `barely` in each on average,
            although it is too blurred for CRAFT. It is not doubted if the letters are of `kinds` different
            kinds: in textures, they were of 3 kinds at most.
        piece: in noise, DBNet may see only pieces of a line. In pictures larger than `large`, cores of
            letters of this height or more are joined, and are text if such a word of `kinds` is read.
        soft: the confidence needed for soft letters if DBNet is not certain of them, or CRAFT not sure:
            reduced patches of Doppler and textures are read with .07 at most, Latin words with .26.
        blurred, blur: the margin around the core of such a line: this share of a letter, or so many pixels.
        large, block, beyond, floor, crowd, share: in pictures larger than `large`, only areas are examined in
            which the grey changes within two pixels by more than the noise explains (`beyond` times the usual
            step of a `block`, and `floor` at least), in a `share` of the `crowd` pixels around.
        usual: percentile of the steps of a block that is taken for noise.
        traced, ink, across, thin, touching: in pictures of up to `traced` pixels, connected pixels that
            differ by `ink` from the ground are a trace, such as an ECG, if they form one line over `across`
            of the width, `wide` times as long as high, that covers `thin` of its box at most and has one
            stroke in each column. `touching` or more neighbouring columns with several strokes are letters;
            within `around` of these, nothing is a trace.
        enlarge: longest side of a picture → factor by which it is enlarged. Letters of 7 to 12 pixels need
            it: of faint words, 77 % are found without, 89 % at 1.5, 93 % at 2.
        tile, margin, beside_sharp: size of a tile, which limits the memory, and its margin; uniform parts are
            left out. Sharp areas of large pictures already contain what is around letters.
        sizes: length → multiple to which sides of a tile, and the width of a line to be read, are padded: for
            each new size a network is prepared, which takes as long as a run or two.
        mean, spread: of ImageNet, on which both detectors were trained.
        line: height to which a line is scaled for EasyOCR's recogniser.
        unsure, contrast: if it reads with less confidence than `unsure`, it reads again with the contrast
            stretched, if that is less than `contrast`.
        height: to which a line is scaled for PP-OCR's recogniser.
        above: the recogniser also sees this share of the height around a box, because accents reach beyond
            it.
        least: narrower or lower boxes are not read.
        upright: a box higher than wide that is read with less confidence is also turned.
        short, legible: boxes up to `short` times as long as high are read, and count only beside others if
            they are not a word: up to so many letters → the confidence that makes a word.
        letter: the confidence from which a single letter counts as read; CRAFT cannot make it a word.
        big: long boxes higher than this count alone only if a word is read, or CRAFT sees letters at small
            size.
    """

    text: float = 0.5
    link: float = 0.2
    low: float = 0.15
    sure: float = 0.75
    step: float = 3.0
    around: int = 24
    percentile: int = 98
    throughout: float = 0.6
    tall: int = 100
    marked: float = 0.12
    proposed: float = 0.1
    worth: float = 0.4
    near: int = 12
    context: float = 0.7
    core: float = 0.45
    certain: float = 0.9
    letters: tuple[float, float] = (5.0, 35.0)
    beside: float = 0.3
    small: float = 14.0
    huge: float = 70.0
    far: float = 7.0
    dim: float = 0.3
    same: float = 0.95
    sparse: float = 1.3
    large: int = 1280
    coarse: float = 0.5
    reduced: int = 1200
    blurred_at: tuple[tuple[int, tuple[Reduction, ...]], ...] = (
        (1280, (((1 / 3, 800), 1.0, None), ((1 / 6, 800), 1.0, None))),
        (1600, (((1 / 3, 800), 2.0, None), ((1 / 2, 1200), 1.0, _FINE), *_BANDS)),
        (2400, (((1 / 2, 1200), 1.0, _FINE), *_BANDS)),
        (10**9, _BANDS),
    )
    kinds: int = 4
    unblur: float = 2.0
    unblurred: float = 2.0
    alike: float = 0.4
    above_ground: float = 1.4
    continued: tuple[tuple[int, tuple[float, float]], ...] = ((1280, (0.3, 1.0)), (10**9, (0.9, 10**6)))
    likely: float = 0.6
    wide: float = 3.0
    word: int = 5
    barely: float = 0.5
    piece: float = 3.0
    soft: float = 0.1
    blurred: float = 0.6
    blur: float = 6.0
    block: int = 32
    beyond: float = 5.0
    floor: int = 12
    crowd: int = 15
    share: float = 0.06
    usual: int = 30
    traced: int = 2048
    ink: int = 72
    across: float = 0.15
    thin: float = 0.4
    touching: int = 4
    enlarge: tuple[tuple[int, float], ...] = ((640, 2.0), (1280, 1.5))
    tile: int = 512
    margin: int = 64
    beside_sharp: int = 40
    sizes: tuple[tuple[int, int], ...] = ((192, 32), (384, 64), (10**9, 128))
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    spread: tuple[float, float, float] = (0.229, 0.224, 0.225)
    line: int = 64
    unsure: float = 0.1
    contrast: float = 0.5
    height: int = 48
    above: float = 0.1
    least: int = 3
    upright: float = 0.8
    short: float = 2.2
    big: int = 60
    legible: tuple[tuple[int, float], ...] = ((2, 0.6), (5, 0.3), (10**9, 0.1))
    letter: float = 0.3

    @cached_property
    def digest(self) -> str:
        """12 hex digits over all of them and every constant that decides boxes (`constants`)."""
        from beamstop.ocr.constants import constants

        document = json.dumps([asdict(self), constants()], sort_keys=True)
        return hashlib.sha256(document.encode()).hexdigest()[:12]


THRESHOLDS = Thresholds()
