"""What somebody can find out who has the clean archive, the audit and a list of candidates, but no key."""

import hashlib
import hmac
import itertools
import uuid
from base64 import b32decode
from collections.abc import Callable, Iterator
from datetime import date

from pydicom.dataset import FileDataset

from beamstop import deidentify
from beamstop.identity import Identity, gen_dicom_uid
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.recipe.model import Recipe

MakeDataset = Callable[..., FileDataset]
CANDIDATES = 100_000
HASHES = ("md5", "sha1", "sha256", "sha512")
WEAK_KEYS = (b"", b"\0", bytes(16), bytes(32), b"beamstop", b"key", b"secret", b"password")
ROOT = "1.2.826.0.1.3680043.10.5"
MOVED = parse_recipe("options: [retain-longitudinal-modified-dates]\n")


def record_numbers() -> Iterator[str]:
    return (f"R-{number}" for number in range(CANDIDATES))


def uids() -> Iterator[str]:
    return (f"1.2.3.4.{number}" for number in range(CANDIDATES))


def digests(value: bytes) -> Iterator[bytes]:
    """Yield what usual ways make of a candidate: plain hashes, keyed ones under keys that anybody tries."""
    for name in HASHES:
        yield hashlib.new(name, value, usedforsecurity=False).digest()
    for key in WEAK_KEYS:
        yield hmac.digest(key, value, "sha256")


def clean_of(make_dataset: MakeDataset, recipe: Recipe, key: bytes, **attributes: str) -> FileDataset:
    clean = deidentify(make_dataset(**attributes), recipe, key).dataset
    assert isinstance(clean, FileDataset)
    return clean


def test_no_candidate_leads_to_a_pseudonym_without_the_key(make_dataset: MakeDataset, key: bytes) -> None:
    told = clean_of(make_dataset, load_recipe("basic"), key, PatientID="R-77777").PatientID
    start = b32decode(told)  # 16 letters and digits are ten bytes of a digest
    guesses = (digest for it in record_numbers() for digest in digests(it.encode()))
    assert not any(digest.startswith(start) for digest in guesses)


def test_with_the_key_the_same_list_leads_there(make_dataset: MakeDataset, key: bytes) -> None:
    """Which is why the key is guarded like the originals; and why the list above is no straw man."""
    told = clean_of(make_dataset, load_recipe("basic"), key, PatientID="R-77777").PatientID
    identity = Identity(key)
    assert [it for it in record_numbers() if identity.patient_id(it) == told] == ["R-77777"]


def as_integer(uid: str, root: str) -> int:
    return int(uid.removeprefix(f"{root}."))


def test_no_candidate_leads_to_a_uid_without_the_key(make_dataset: MakeDataset, key: bytes) -> None:
    clean = clean_of(make_dataset, load_recipe("basic"), key, StudyInstanceUID="1.2.3.4.77777")
    told = uuid.UUID(int=as_integer(clean.StudyInstanceUID, "2.25")).bytes
    # Version and variant are set over six bits; the bytes before and behind them are the digest's.
    guesses = (digest for it in uids() for digest in digests(it.encode()))
    assert not any(digest[:6] == told[:6] and digest[9:16] == told[9:] for digest in guesses)


def test_no_candidate_leads_to_a_uid_under_a_root_without_the_key(
    make_dataset: MakeDataset, key: bytes
) -> None:
    recipe = parse_recipe(f"uids: {{root: {ROOT}}}\n")
    clean = clean_of(make_dataset, recipe, key, StudyInstanceUID="1.2.3.4.7777")
    guesses = (digest for it in itertools.islice(uids(), 20_000) for digest in digests(it.encode()))
    numbers = (str(int.from_bytes(digest, "big")) for digest in guesses)
    assert not any(f"{ROOT}.{number}".startswith(clean.StudyInstanceUID) for number in numbers)
    assert clean.StudyInstanceUID not in {gen_dicom_uid("", it, ROOT) for it in uids()}


def test_uids_by_kskit_s_method_are_found_at_once(make_dataset: MakeDataset, key: bytes) -> None:
    recipe = parse_recipe(f"uids: {{method: kskit, root: {ROOT}}}\n")
    told = clean_of(make_dataset, recipe, key, StudyInstanceUID="1.2.3.4.77777").StudyInstanceUID
    assert [it for it in uids() if gen_dicom_uid("", it, ROOT) == told] == ["1.2.3.4.77777"]


def test_another_key_tells_other_things(make_dataset: MakeDataset, key: bytes) -> None:
    recipe = load_recipe("basic")
    one, other = (clean_of(make_dataset, recipe, it) for it in (key, b"another key, of 32 bytes or more"))
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert one[keyword].value != other[keyword].value


def moved(make_dataset: MakeDataset, key: bytes, patient: str, day: str) -> int:
    clean = clean_of(make_dataset, MOVED, key, PatientID=patient, StudyDate=day)
    original, told = (date.fromisoformat(it) for it in (day, str(clean.StudyDate)))
    return (told - original).days


def test_studies_of_one_patient_keep_their_interval_and_tell_no_more(
    make_dataset: MakeDataset, key: bytes
) -> None:
    """The interval is what the option promises. Every shift of the range fits both dates."""
    first, second = (moved(make_dataset, key, "R-1", day) for day in ("20240229", "20240304"))
    fewest, most = Identity(key).shift_range
    assert first == second
    assert -most <= first <= -fewest


def test_one_patient_s_shift_tells_nothing_of_another_s(make_dataset: MakeDataset, key: bytes) -> None:
    """Whoever knows his own dates learns his own shift; neighbours in number share none."""
    identity = Identity(key)
    shifts = [identity.shift_days(make_dataset(PatientID=f"R-{number}")) for number in range(2000)]
    distances = {later - earlier for earlier, later in itertools.pairwise(shifts)}
    assert min(len(set(shifts)), len(distances)) > 1500  # 2000 draws of 3650: by chance some meet
    assert abs(sum(shifts) / len(shifts) + 1825) < 100


def test_no_usual_hash_leads_to_a_shift(make_dataset: MakeDataset, key: bytes) -> None:
    """A way that worked without the key would be right for all of fifty patients, not for one by chance."""
    patients = [f"R-{number}" for number in range(50)]
    shifts = [Identity(key).shift_days(make_dataset(PatientID=it)) for it in patients]
    for way in zip(*([*digests(it.encode())] for it in patients), strict=True):
        guessed = [-(1 + int.from_bytes(digest[:8], "big") % 3650) for digest in way]
        assert sum(map(int.__eq__, guessed, shifts)) < 5


def test_what_everybody_sees_of_a_patient_is_no_part_of_his_shift(key: bytes) -> None:
    """Pseudonym, UID and shift of one text are made of digests of their own."""
    identity = Identity(key)
    purposes = (("patient", "R-1"), ("uid", "R-1"), ("shift", "patient", "R-1"), ("dummy", "R-1"))
    assert len({identity.digest(*purpose)[:8] for purpose in purposes}) == len(purposes)
