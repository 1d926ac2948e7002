"""GroupSeries: bring the sources of a series to one worker, which searches the whole series for a face.

A face shows in a series, not in a single slice. The headers say which sources belong together. One worker
reads a whole series, searches it, and passes on its sources, each with its finding and its bytes. So only
paths travel between workers, and a source is read twice: its header, then the file.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from time import perf_counter
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue
from pydicom.dataset import Dataset, FileDataset

from beamstop.dicom.deadline import working_until
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.files import read_dicom, read_header
from beamstop.dicom.limits import DEFAULT_LIMITS, Limits, check_limits
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import DeidError, Failed, PixelError, Refusal
from beamstop.faces.headers import FaceHeader, Kind, face_header, may_show_face
from beamstop.faces.series import Action, FaceFinding, Verdict, look_at_series
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop.recipe.model import Recipe
from beamstop.rules.operators import HashUID, Operator
from beamstop.steps.judge_face import MAY_SHOW, SAME_FACE
from beamstop_transforms.archives import is_member
from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.ledger.attempts import Attempts
from beamstop_transforms.metrics import MILLISECONDS
from beamstop_transforms.read import WorkingNote, read_source
from beamstop_transforms.read_ahead import Gone
from beamstop_transforms.redistribute import HEADERS, NotingFn, Packing, Work, pack, unpack
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import StoreError, is_dicomweb, read_range

Look = Callable[[Sequence[Dataset], Action], list[FaceFinding]]
LookLoader = Callable[[], Look]
Ready = Callable[[Sequence[Source]], list[Source]]  # see ReadAhead
TOO_LARGE = "face_series_too_large"
# First byte of a grouping key: series, frame of reference, single source, study. A STUDY key holds a clean
# study UID, and only RejoinSeries uses it.
SERIES, FRAME, ALONE, STUDY = b"s", b"f", b"p", b"u"
MARK = b""  # in place of a pack: a series in this frame of reference may show a face
_STUDY_INSTANCE_UID = 0x0020000D
_WINDOW = 128 << 10  # bytes from the start of a file; most headers end within them
_MOST = 1_000  # sources that may wait in a bundle before they are sent on: bounds the memory


def load_look() -> Look:
    """Return the function that searches a series for a face; called once per worker process.

    Raises:
        DeidError: scipy is not installed.
    """
    if find_spec("scipy") is None:
        raise DeidError("faces: scipy is not installed on a worker: pip install 'beamstop[faces]'")
    return look_at_series


@dataclass(eq=False)
class GroupSeries(Transform):
    """Search every series that may show a face, as a whole; each source then carries its finding.

    It belongs between Redistribute and ReadDicom, and needs bounded inputs. If the recipe leaves faces alone,
    sources pass unchanged.

    Attributes:
        recipe: decides what happens to faces.
        key: reference of the run's key.
        limits: a whole series has to stay within the bytes and seconds of one instance.
        load_look: makes the function that searches a series; must be picklable.
        work, attempts: see `Redistribute`.
    """

    recipe: Recipe
    key: str = field(repr=False)
    limits: Limits = DEFAULT_LIMITS
    load_look: LookLoader = load_look
    work: Work = HEADERS
    attempts: Attempts | None = None

    def expand(self, sources: PCollection[Source]) -> PCollection[Source]:
        """Return the sources; those of a series follow each other."""
        action = self.recipe.face_action
        if action is None:
            return sources
        keyed = sources | "ReadHeaders" >> ReadHeaders(self.key, self.limits, self.work)
        look = LookAtSeries(action, self.key, self.limits, self.load_look, self.attempts)
        return keyed | "LookAtSeries" >> look


@dataclass(eq=False)
class ReadHeaders(Transform):
    """Read the header of every source, up to the pixels, and key it by its series.

    Attributes:
        key, limits, work: see `GroupSeries`.
        recipe: determines the study UIDs of clean files; None if they are not needed.
    """

    key: str = field(repr=False)
    limits: Limits = DEFAULT_LIMITS
    work: Work = HEADERS
    recipe: Recipe | None = None

    def expand(self, sources: PCollection[Source]) -> PCollection[tuple[bytes, bytes]]:
        """Return keys with packs of sources, as `LookAtSeries` takes them."""
        read = beam.ParDo(_ReadHeadersFn(self.key, self.limits, self.work, self.recipe))
        return sources | "Read" >> read.with_output_types(tuple[bytes, bytes])


class Place(NamedTuple):
    """The series that a source belongs to, by its header.

    Attributes:
        key: of its series or frame of reference; None for a single source.
        mark: key of the frame of reference in which the series may show a face; None if it shows none.
        study: its StudyInstanceUID.
    """

    key: bytes | None = None
    mark: bytes | None = None
    study: str = ""


def place_of(source: Source, identity: Identity, limits: Limits) -> Place:
    """Return the place of a source; an unreadable one is single, and fails later when it is read."""
    try:
        return _place_of(face_header(_header_of(source, limits)), identity)
    except (Refusal, OSError, *MALFORMED):
        return Place()


def _place_of(header: FaceHeader, identity: Identity) -> Place:
    frame = None
    if header.frame_of_reference_uid:
        frame = FRAME + identity.digest("face-frame", header.study_uid, header.frame_of_reference_uid)
    if header.kind is Kind.SAME_FACE:
        # An instance that may show a face on its own needs no series.
        return Place() if may_show_face(header) else Place(frame, study=header.study_uid)
    if not may_show_face(header):
        return Place()
    parts = (header.study_uid, header.frame_of_reference_uid, header.series_uid)
    return Place(SERIES + identity.digest("face-series", *parts), frame, header.study_uid)


def _header_of(source: Source, limits: Limits) -> FileDataset:
    """Return the elements before the pixel data; read the whole file only if 128 KiB are too little."""
    if not (source.suspect or is_member(source.path) or is_dicomweb(source.path)):
        with suppress(Failed):  # the start of a file may not parse although the whole file does
            found = read_header(read_range(source.path, 0, _WINDOW))
            if found is not None:
                return found
    return read_dicom(read_source(source, limits.bytes), limits.bytes, limits.elements)


def names_studies(recipe: Recipe) -> bool:
    """Return whether the clean study UID depends on the original one alone."""
    operator = _operator_of_studies(recipe)
    return not recipe.rules.conditional and (operator is None or type(operator) is HashUID)


def study_name(recipe: Recipe, key: bytes) -> Callable[[str], str] | None:
    """Return the function from original to clean study UID; None if it depends on more than the UID."""
    if not names_studies(recipe):
        return None
    return str.strip if _operator_of_studies(recipe) is None else recipe.identity(key).uid


def _operator_of_studies(recipe: Recipe) -> Operator | None:
    return recipe.planner.plan((_STUDY_INSTANCE_UID,), None, "UI", "").operator


class _ReadHeadersFn(beam.DoFn):
    def __init__(self, key: str, limits: Limits, work: Work, recipe: Recipe | None) -> None:
        super().__init__()
        self._key = key
        self._limits = limits
        self._work = work
        self._recipe = recipe

    def setup(self) -> None:
        self._identity = Identity(resolve_key(self._key))
        self._name_study = None if self._recipe is None else study_name(self._recipe, resolve_key(self._key))

    def start_bundle(self) -> None:
        self._packing = Packing(self._work)
        self._waiting = KeyedPacks()

    def process(self, source: Source) -> Iterator[tuple[bytes, bytes]]:
        place = place_of(source, self._identity, self._limits)
        if place.key is None:
            yield from map(_alone, self._packing.add(source))
        else:
            if self._name_study is not None:
                self._waiting.mark(STUDY + self._name_study(place.study).encode())
            yield from self._waiting.add(place, source)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for found in (*map(_alone, self._packing.finish()), *self._waiting.finish()):
            yield WindowedValue(found, window.max_timestamp(), (window,))


def _alone(packed: bytes) -> tuple[bytes, bytes]:
    return ALONE + hashlib.sha256(packed).digest(), packed


class KeyedPacks:
    """Collects sources and marks by grouping key, to send many in one element."""

    def __init__(self) -> None:
        self._sources: dict[bytes, list[Source]] = {}
        self._marks: set[bytes] = set()
        self._held = 0

    def mark(self, key: bytes) -> None:
        """Add a mark under a key, without a source."""
        self._marks.add(key)

    def add(self, place: Place, source: Source | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Add a source, or only its mark; yield all keys with packs once 1,000 sources wait."""
        if place.mark is not None:
            self._marks.add(place.mark)
        if source is not None and place.key is not None:
            self._sources.setdefault(place.key, []).append(source)
            self._held += 1
        if self._held == _MOST:
            yield from self.finish()

    def finish(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the waiting sources as keys with packs, then the marks."""
        yield from ((key, pack(sources)) for key, sources in self._sources.items())
        yield from ((key, MARK) for key in sorted(self._marks))
        self._sources.clear()
        self._marks.clear()
        self._held = 0


@dataclass(eq=False)
class LookAtSeries(Transform):
    """Group sources by key, and search each series.

    If a worker died on a series, the series is not searched again, and none of its instances that may show a
    face is written.

    Attributes:
        action: of the recipe.
        key, limits, load_look, attempts: see `GroupSeries`.
        suspects, progress: see `ReadDicom`.
    """

    action: Action
    key: str = field(repr=False)
    limits: Limits = DEFAULT_LIMITS
    load_look: LookLoader = load_look
    attempts: Attempts | None = None
    suspects: Mapping[str, str] = field(default_factory=dict)
    progress: str | None = None

    def expand(self, keyed: PCollection[tuple[bytes, bytes]]) -> PCollection[Source]:
        """Take keys with packs; return the sources."""
        look = beam.ParDo(_LookFn(self))
        return keyed | "BySeries" >> beam.GroupByKey() | "Look" >> look.with_output_types(Source)


class _Held:
    """The bytes of a searched source; ReadDicom takes them once, so that they do not stay in memory."""

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data

    def take(self) -> bytes | None:
        """Return the bytes; None if they were taken before."""
        data, self._data = self._data, None
        return data

    def __reduce__(self) -> tuple[type[Gone], tuple[()]]:
        return Gone, ()


class _LookFn(NotingFn):
    def __init__(self, settings: LookAtSeries) -> None:
        super().__init__(settings.attempts, settings.limits.bytes)
        self._action: Action = settings.action
        self._key = settings.key
        self._limits = settings.limits
        self._load_look = settings.load_look
        self._suspects = settings.suspects
        self._progress = settings.progress
        self._shared = Shared()

    def setup(self) -> None:
        super().setup()
        self._identity = Identity(resolve_key(self._key))
        self._look = self._shared.acquire(self._load_look)
        self._note = WorkingNote(self._progress)
        self._ms = Metrics.distribution("GroupSeries", MILLISECONDS)

    def process(self, keyed: tuple[bytes, Iterable[bytes]]) -> Iterator[Source]:
        key, packs = keyed[0], list(keyed[1])
        if key[:1] == STUDY:
            return
        if key[:1] == ALONE:
            for packed in packs:
                yield from self.unpacked(packed)
            return
        found = {it.raw_path: it for packed in packs if packed != MARK for it in unpack(packed)}
        sources = [found[path] for path in sorted(found)]
        if key[:1] == FRAME:
            face = FaceFinding(Verdict.REFUSE, reason=MAY_SHOW, detail=SAME_FACE)
            marked = sources if MARK not in packs else [replace(it, face=face) for it in sources]
            yield from self.noted(key, self._ahead.ready(marked))
            return
        looked: dict[bytes, Source] | None = None
        for source in self.noted(key, sources):
            # Search inside the loop, where a note of the series exists: a worker may die of the search.
            if looked is None:
                looked = {} if source.suspect else self._looked_at(sources)
            yield looked.pop(source.raw_path, source)

    def teardown(self) -> None:
        super().teardown()
        self._note.close()

    def _looked_at(self, sources: list[Source]) -> dict[bytes, Source]:
        """Return path → source with bytes and finding; empty if a worker died on one of these sources."""
        began, ids = perf_counter(), [source_id_of(it, self._identity) for it in sources]
        if any(it.suspect for it in sources) or not self._suspects.keys().isdisjoint(ids):
            return {}
        self._note.begin(ids[0])
        with guarded(), working_until(began + self._limits.seconds):
            series = Series(sources, self._limits)
            findings = series.findings(self._look, self._action, self._ahead.ready)
        self._note.end()
        for _ in sources:
            self._ms.update(int(1000 * (perf_counter() - began) / len(sources)))
        return {
            it.raw_path: replace(it, face=finding, content=_Held(data) if data is not None else it.content)
            for it, data, finding in zip(sources, series.data, findings, strict=True)
        }


class Series:
    """The sources of one series.

    Attributes:
        data: the bytes of each source; None if unreadable, or if the series is refused.
    """

    def __init__(self, sources: list[Source], limits: Limits) -> None:
        self._sources = sources
        self._limits = limits
        self.data: list[bytes | None] = [None] * len(sources)

    def findings(self, look: Look, action: Action, ready: Ready) -> list[FaceFinding | None]:
        """Return one finding per source; None for an unreadable source, which fails later when it is read.

        Raises:
            StoreError: the store does not answer.
        """
        if sum(it.size for it in self._sources) > self._limits.bytes:
            return self._refused(TOO_LARGE)
        try:
            return self._findings(look, action, ready)
        except StoreError:
            raise  # the store is at fault, not this series
        except (Refusal, PixelError) as no:
            return self._refused(no.reason, no.detail)
        except MemoryError:
            return self._refused(TOO_LARGE, "memory")
        except Exception as fault:  # noqa: BLE001  as in step.attempt: its message may quote a value
            return self._refused("fault", type(fault).__name__)

    def _refused(self, reason: str, detail: str = "") -> list[FaceFinding | None]:
        self.data = [None] * len(self._sources)
        return [FaceFinding(Verdict.REFUSE, reason=reason, detail=detail)] * len(self._sources)

    def _findings(self, look: Look, action: Action, ready: Ready) -> list[FaceFinding | None]:
        datasets: list[Dataset] = []
        of_source: list[int | None] = []  # for each source, the index of its dataset
        copies: dict[tuple[str, bytes], int] = {}
        room = self._limits.bytes
        for number, source in enumerate(ready(self._sources)):
            try:
                data = read_source(source, self._limits.bytes)
                dataset = read_dicom(data, self._limits.bytes, self._limits.elements)
                check_limits(dataset, self._limits)
            except Refusal:
                of_source.append(None)
                continue
            self.data[number] = data
            room -= max(len(data), _decoded_size(dataset))
            if room < 0:
                return self._refused(TOO_LARGE)
            which = copies.setdefault(_picture(dataset), len(datasets))
            of_source.append(which)
            if which == len(datasets):
                datasets.append(dataset)
        found = look(datasets, action) if datasets else []
        if len(found) != len(datasets):
            raise ValueError
        return [None if which is None else found[which] for which in of_source]


def _picture(dataset: Dataset) -> tuple[str, bytes]:
    """Return SOP Instance UID and digest of the stored pixels: equal for two copies of one instance."""
    element: Any = dataset._dict.get(0x7FE00010)  # type: ignore[call-overload]
    value = element.value if element is not None else b""
    return str(dataset.get("SOPInstanceUID") or ""), hashlib.blake2b(value or b"", digest_size=32).digest()


def _decoded_size(dataset: Dataset) -> int:
    """Return the size of the decoded pixels in bytes; 0 if the header is malformed."""
    names = ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    try:
        frames, *others, bits = (int(dataset.get(name) or 1) for name in names)
    except MALFORMED:
        return 0
    return frames * others[0] * others[1] * others[2] * bits // 8
