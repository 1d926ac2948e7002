"""Bounce: let the bouncers decide whether an instance may pass."""

from collections.abc import Iterable

from pydicom.dataset import Dataset

from beamstop.dicom.elements import failing_if_malformed
from beamstop.dicom.views import view_of
from beamstop.rules.bouncers import Bouncer
from beamstop.rules.foreign import blaming, is_foreign


@failing_if_malformed
def bounce(
    dataset: Dataset,
    bouncers: Iterable[Bouncer],
    pixels_cleaned: bool | None = None,
    faces_cleaned: bool | None = None,
) -> None:
    """Let every bouncer inspect an instance.

    Args:
        dataset: the instance, before its attributes are changed; its raw elements stay raw.
        bouncers: of the recipe.
        pixels_cleaned: None on the first call, in which BurnedInAnnotation counts as NO. On the second call,
            after HideText: whether the pixels were cleaned; then only bouncers that read
            BurnedInAnnotation inspect the instance again.
        faces_cleaned: None if the recipe removes no faces. If True, as on the first call,
            RecognizableVisualFeatures counts as NO; bouncers that read it inspect the instance again, too.

    Raises:
        Rejected: by the first bouncer that rejects it.
        Failed: `unreadable`: an attribute that it reads is malformed; `fault`: a custom bouncer raised
            something else.
    """
    second_look = pixels_cleaned is not None
    asked = [
        it
        for it in bouncers
        if not second_look or it.reads_burned_in or (it.reads_faces and faces_cleaned is not None)
    ]
    if not asked:
        return
    view = view_of(dataset)
    if not second_look or pixels_cleaned:
        view.add_new("BurnedInAnnotation", "CS", "NO")
    if faces_cleaned:
        view.add_new("RecognizableVisualFeatures", "CS", "NO")
    for bouncer in asked:
        if is_foreign(type(bouncer)):
            with blaming(bouncer):
                bouncer.inspect(view)
        else:
            bouncer.inspect(view)
