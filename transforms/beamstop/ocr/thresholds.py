"""The thresholds of the text detector: one set, whose digest is in every detector's fingerprint."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

from beamstop.pixels.renditions import RENDITIONS


@dataclass(frozen=True)
class Thresholds:
    """Every number that decides which boxes are found, and what is read in them.

    Lengths are pixels of the picture as the network is shown it, scores 0 to 1, steps are differences of
    grey. How they were chosen: docs/detectors.md.

    Attributes:
        text, link, low: CRAFT's scores for detection, not for reading: EasyOCR's .7/.4/.4 miss faint and
            small text. Boxes that score less than .5 were anatomy or curves, every one, of what 252 drawn
            pictures and both networks left to decide.
        sure: what scores less counts where DBNet sees text, too, and where a step stands out from the noise:
            without one anatomy scores up to .7, written words more.
        step, around: how far a step stands out, as a multiple of the median step so many pixels around; of
            the steps inside a box that of `percentile` counts.
        throughout: so much of a large picture's box is sharp: words .97 and more, what bones make of noise .4
            at most.
        tall, marked: DBNet marks .15 and more of lines of text, .1 at most of anatomy taller than this; of
            small boxes it may miss most.
        proposed, worth, near, context, core: DBNet proposes: a spot that it gives `worth` anywhere counts as
            far as it gives `proposed`, and `context` of a letter or `near` pixels around it, too. It marks
            the core of a line, about `core` of the letters' height.
        certain, letters, beside: what it gives `certain` on average, with letters of such a height, is a line
            `beside` of a letter around the core, as soon as CRAFT sees any text in it, shown small. Of drawn
            words 4 in 5 are so, and nothing else; of real pictures kidneys, whose "letters" are larger, and
            coloured noise, in which CRAFT sees nothing.
        small: letters up to this height are doubled for CRAFT; to confirm none is larger.
        huge, far: larger letters are mostly anatomy, and most of the work: examined only where a step stands
            out so far.
        same: a box that shares so much with a larger one is the same: the rest is no glyph.
        sparse: places are joined unless that adds so much that nothing proposed.
        coarse, reduced: pictures beyond `large` are also searched everywhere, for blurred letters, which are
            large: reduced by `coarse`, and to `reduced` pixels at most.
        unblur, unblurred: where that shows any, once more with so much added of what blurring by so many
            pixels takes away.
        blurred_at, thumb: up to which longest side a picture is reduced by what once more, to `thumb` pixels
            at most, and enlarged again by what, for lines of larger letters and of letters in noise. Of drawn
            ones of 64 to 110 pixels, blurred, 1 of 55 words was found without, 45 with. Films have up to
            2400 pixels: there twice the size finds what the size alone does not.
        alike, above_ground, word_gap: in pictures beyond `large` a line goes on where its strokes are `alike`
            times as strong as in what was found of it, and `above_ground` times as strong as above or below
            it; gaps of `word_gap` times its height are passed over.
        likely, wide, word, barely, kinds: where DBNet gives a core `likely` on average, so many times as long
            as it is high, `word` letters read with `barely` any confidence are text, though too blurred for
            CRAFT. If they are of `kinds`, that is not doubted: of textures they were of 3 at most.
        soft: so much confidence has what is read of soft letters where DBNet is not certain of them, or CRAFT
            not sure: reduced patches of Doppler and textures are read with .07 at most, Latin words with .26.
        blurred, blur: of such a line belong so much of a letter, or so many pixels, around the core.
        large, block, beyond, floor, crowd, share: in pictures beyond `large` only what changes within two
            pixels by more than the noise explains (`beyond` times what is usual in a block, `floor` at
            least), crowded on a `share` of the pixels around, is examined.
        usual: percentile of the steps of a block that is taken for noise.
        traced, ink, across, thin, touching: in pictures of up to `traced` pixels what differs by `ink` from
            the ground is a trace, as of an ECG, where it is one line over `across` of the width, `wide` times
            as long as high, covers `thin` of its box at most, and has one stroke in each column. `touching`
            columns with more beside each other are letters; around these, as far as `around`, nothing is.
        enlarge: longest side of a picture up to which it is enlarged, and how much. Letters of 7 to 12 pixels
            need it: of faint words 77 % are found as they are, 89 % at 1.5, 93 % at 2.
        tile, margin: bounds the memory; uniform parts are left out.
        sizes: up to which length sides of a tile, and the width of a line that is read, are padded to a
            multiple of what: for each new size a network is made ready, which costs a run or two.
        mean, spread: of ImageNet, which both detectors were trained with.
        line: height that a line is brought to for EasyOCR's recogniser.
        unsure, contrast: what it reads with less confidence it reads again with more contrast, where there is
            less.
        height: that a line is brought to for PP-OCR's recogniser.
        above: so much of its height around a box is shown to it as well: accents reach out of boxes.
        least: nothing is read in what is narrower or lower.
        upright: what is higher than wide and read with less confidence is turned, too.
        short, legible: boxes up to so many times as long as they are high are read: what is no word counts
            only beside others. No word is what is read, of up to so many letters, with less confidence.
        letter: from here on a single letter is read, which no second look of CRAFT makes a word.
        big: longer boxes that are higher count alone only where a word is read, or CRAFT sees letters, small.
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
    same: float = 0.95
    sparse: float = 1.3
    large: int = 1280
    coarse: float = 0.5
    reduced: int = 1200
    blurred_at: tuple[tuple[int, tuple[tuple[float, float], ...]], ...] = (
        (1280, ((1 / 3, 1.0), (1 / 6, 1.0))),
        (2400, ((1 / 3, 2.0),)),
        (10**9, ()),
    )
    thumb: int = 800
    kinds: int = 4
    unblur: float = 2.0
    unblurred: float = 2.0
    alike: float = 0.4
    above_ground: float = 1.4
    word_gap: float = 0.9
    likely: float = 0.6
    wide: float = 3.0
    word: int = 5
    barely: float = 0.05
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
        """12 hex digits over all of them and those of the renditions (`renditions.Renditions`)."""
        document = json.dumps([asdict(self), asdict(RENDITIONS)], sort_keys=True)
        return hashlib.sha256(document.encode()).hexdigest()[:12]


THRESHOLDS = Thresholds()
