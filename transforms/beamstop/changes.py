"""Changes: what was done to an element or text box, without any value."""

from typing import NamedTuple


class Change(NamedTuple):
    """One row of the audit's `changes` table.

    Attributes:
        path: keywords through sequences, `RequestAttributesSequence[0].ScheduledProcedureStepID`;
            tag numbers for private elements. Empty for a text box.
        tag: `(gggg,eeee)`.
        vr: value representation.
        action: D Z X K C or U, as carried out.
        rule: rule set and line that decided.
        before_digest, after_digest: truncated HMAC bound to source and path; None for an empty value.
        frame, x, y, width, height: of a text box, in pixels of the stored frame; frames count from 0.
        why: of a text box, why it was hidden or kept (a code, never the words); of a private block, which is
            one change if nothing of it is left, how many elements it had (`block_size`).
    """

    path: str
    tag: str
    vr: str
    action: str
    rule: str
    before_digest: str | None = None
    after_digest: str | None = None
    frame: int | None = None
    x: int | None = None
    y: int | None = None
    width: int | None = None
    height: int | None = None
    why: str | None = None


def block_size(count: int) -> str:
    """Return the text of `why` for a removed private block: its number of elements besides the creator.

    >>> block_size(24), elements_in("24 elements"), elements_in(None), elements_in("found")
    ('24 elements', 25, 1, 0)
    """
    return f"{count}{_ELEMENTS}"


def elements_in(why: str | None) -> int:
    """Return how many elements a change is about, including a block's creator; 0 for a text box or icon."""
    if why is None:
        return 1
    return int(why.removesuffix(_ELEMENTS)) + 1 if why.endswith(_ELEMENTS) else 0


_ELEMENTS = " elements"
