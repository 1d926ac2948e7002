import base64
import hashlib
import hmac
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID

from beamstop.errors import KeyReferenceError
from beamstop.identity import Identity, gen_dicom_uid
from beamstop.recipe.load import parse_recipe

KEY = b"0123456789abcdef0123456789abcdef"
UIDS = st.lists(st.integers(0, 10**12), min_size=2, max_size=6).map(
    lambda parts: "1.2." + ".".join(map(str, parts))
)


def patient(patient_id="", study="1.2.3"):
    dataset = Dataset()
    dataset.PatientID = patient_id
    dataset.StudyInstanceUID = study
    return dataset


@example(bytes(32), [b"short", b"long" * 5000, "end"])
@given(st.binary(min_size=16, max_size=100), st.lists(st.binary() | st.text()))
def test_a_digest_is_an_hmac_over_purpose_and_parts_with_their_lengths(key, parts):
    contents = [it if isinstance(it, bytes) else it.encode() for it in parts]
    message = b"purpose" + b"".join(b"\0%d:%s" % (len(it), it) for it in contents)
    assert Identity(key).digest("purpose", *parts) == hmac.digest(key, message, "sha256")


def test_a_digest_may_be_begun_and_finished_many_times():
    begun = Identity(KEY).begin("purpose", "one")
    assert begun.digest(b"two") == begun.digest("two") == Identity(KEY).digest("purpose", "one", "two")


@given(UIDS)
def test_a_uid_is_valid_and_a_uuid_under_2_25(value):
    made = Identity(KEY).uid(value)
    assert UID(made).is_valid
    number = uuid.UUID(int=int(made.removeprefix("2.25.")))
    assert (number.version, number.variant) == (4, uuid.RFC_4122)


@given(st.sets(UIDS, min_size=2, max_size=30))
def test_uids_form_a_bijection(values):
    assert len({Identity(KEY).uid(value) for value in values}) == len(values)


@given(UIDS)
def test_a_uid_under_a_root_is_valid_and_fits(value):
    made = Identity(KEY, uid_root="1.2.826.0.1.3680043.10.999").uid(value)
    assert made.startswith("1.2.826.0.1.3680043.10.999.")
    assert UID(made).is_valid
    assert len(made) <= 64


def test_well_known_and_empty_uids_stay():
    identity = Identity(KEY)
    for uid in ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.90", "1.2.840.10008.2.16.4", ""):
        assert identity.uid(uid) == uid


def test_padding_does_not_make_another_uid():
    assert Identity(KEY).uid("1.2.3\0") == Identity(KEY).uid("1.2.3")


def test_the_documented_kskit_example_is_reproduced():
    identity = Identity(KEY, uid_root="9.9.9.9.9", kskit_uids=True)
    assert identity.uid("1.123.123.1234.123456.12345678") == "9.9.9.9.9.474079559915109435636573090782"


def test_another_key_gives_another_stand_in():
    one, other = Identity(KEY), Identity(KEY[::-1])
    assert one.uid("1.2.3") != other.uid("1.2.3")
    assert one.patient_id("A") != other.patient_id("A")


def test_a_patient_id_is_stable_and_says_the_issuer_only_when_asked():
    assert Identity(KEY).patient_id("A ", "HOSPITAL") == Identity(KEY).patient_id("A")
    asked = Identity(KEY, with_issuer=True)
    assert asked.patient_id("A", "ONE") != asked.patient_id("A", "TWO")
    assert Identity(KEY).patient_id("") == ""


WRITINGS = ("0012a", "012A", "12a", "12A ", " 12a")


@pytest.mark.parametrize(
    ("normalize", "patients"),
    [((), 4), (("case",), 3), (("leading-zeros",), 2), (("case", "leading-zeros"), 1)],
)
def test_writings_of_one_patient_id_are_one_patient_where_the_recipe_says_so(
    normalize: tuple[str, ...], patients: int
) -> None:
    identity = parse_recipe(f"pseudonyms: {{normalize: [{', '.join(normalize)}]}}").identity(KEY)
    datasets = [patient(it, "1.2") for it in WRITINGS]
    assert len({identity.patient_id(it) for it in WRITINGS}) == patients
    assert len({identity.shift_days(it) for it in datasets}) == patients
    assert len({identity.owner_of(it) for it in datasets}) == patients


def test_a_patient_id_of_zeros_is_still_one() -> None:
    identity = Identity(KEY, normalize=frozenset({"leading-zeros"}))
    assert identity.patient_id("000") == identity.patient_id("0") != ""
    assert identity.owner_of(patient("000", "1.2")) == ("patient", "0")
    assert identity.owner_of(patient("", "1.2")) == ("study", "1.2")


def test_normalizing_leaves_pseudonyms_of_plain_numbers_as_they_were() -> None:
    plain, asked = Identity(KEY), Identity(KEY, normalize=frozenset({"case", "leading-zeros"}))
    assert plain.patient_id("12345") == asked.patient_id("12345")


@given(st.text(min_size=1, max_size=20))
def test_a_shift_is_within_its_range_and_never_zero(patient_id):
    assert -3650 <= Identity(KEY).shift_days(patient(patient_id)) <= -1
    assert Identity(KEY, shift_range=(7, 7)).shift_days(patient(patient_id)) == -7


def test_studies_of_one_patient_shift_alike_and_without_patient_by_study():
    identity = Identity(KEY)
    assert identity.shift_days(patient("A", "1.2.3")) == identity.shift_days(patient("A", "4.5.6"))
    shifts = {identity.shift_days(patient("", f"1.2.{number}")) for number in range(20)}
    assert len(shifts) > 10


def test_the_key_is_not_shown():
    assert "0123" not in repr(Identity(KEY))


@pytest.mark.parametrize("parts", [(("ab", "c"), ("a", "bc")), (("a", ""), ("", "a"))])
def test_parts_of_a_digest_cannot_be_confused(parts):
    one, other = parts
    assert Identity(KEY).digest("x", *one) != Identity(KEY).digest("x", *other)


def test_a_short_key_is_refused():
    with pytest.raises(KeyReferenceError, match="at least 16"):
        Identity(b"short")


def mac(purpose: str, *parts: str) -> bytes:
    message = purpose.encode() + b"".join(b"\0%d:%b" % (len(part.encode()), part.encode()) for part in parts)
    return hmac.digest(KEY, message, "sha256")


def test_a_uid_is_made_of_the_first_16_bytes_or_of_all_digits_that_fit_behind_a_root():
    digest = mac("uid", "1.2.3")
    assert Identity(KEY).uid("1.2.3") == f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"
    digits = str(int.from_bytes(digest, "big"))
    assert Identity(KEY, uid_root="9.9").uid("1.2.3") == f"9.9.{digits}"[:64]
    long = "1.2.826.0.1.3680043.10.999.1234567890.1234567890"
    assert Identity(KEY, uid_root=long).uid("1.2.3") == f"{long}.{digits}"[:64]


def test_a_pseudonym_and_a_dummy_are_as_many_letters_as_asked_for():
    letters = base64.b32encode(mac("purpose", "value")).decode()
    assert Identity(KEY).pseudonym("purpose", "value") == letters[:16]
    assert Identity(KEY).pseudonym("purpose", "value", 48) == letters[:48]
    dummy = base64.b32encode(mac("dummy", "patient", "A", "00080050", "X1")).decode()
    assert Identity(KEY).dummy(("patient", "A"), 0x00080050, "X1", 12) == dummy[:12]


def test_a_patient_id_is_made_of_its_writing_and_of_its_issuer_where_the_recipe_says_so():
    plain, asked = Identity(KEY), Identity(KEY, with_issuer=True)
    alone = base64.b32encode(mac("patient", "A1")).decode()[:16]
    assert plain.patient_id(" A1 ", "ONE") == asked.patient_id("A1", " ") == alone
    assert asked.patient_id("A1", " ONE ") == base64.b32encode(mac("patient", "A1\\ONE")).decode()[:16]


@pytest.mark.parametrize("shift_range", [(1, 3650), (1, 2), (30, 60), (7, 7)])
def test_a_shift_is_drawn_by_the_first_8_bytes_from_all_days_of_its_range(shift_range):
    fewest, most = shift_range
    identity = Identity(KEY, shift_range=shift_range)
    for number in range(20):
        drawn = int.from_bytes(mac("shift", "patient", f"A{number}")[:8], "big")
        assert identity.shift_days(patient(f"A{number}")) == -(fewest + drawn % (most - fewest + 1))
    by_study = int.from_bytes(mac("shift", "study", "1.2.3")[:8], "big")
    assert identity.shift_days(patient("", " 1.2.3 ")) == -(fewest + by_study % (most - fewest + 1))


@pytest.mark.parametrize("length", [0, 15])
def test_a_key_of_fewer_than_16_bytes_is_refused(length):
    with pytest.raises(KeyReferenceError, match=f"key of {length} bytes; at least 16"):
        Identity(bytes(length))
    assert Identity(bytes(16)).patient_id("A")


def test_the_key_is_in_no_text_of_an_identity():
    assert repr(Identity(KEY)) == str(Identity(KEY)) == "Identity(key=<secret>)"


@pytest.mark.parametrize("length", [4095, 4096, 4097])
def test_a_long_part_counts_like_a_short_one(length):
    assert Identity(KEY).digest("purpose", "a" * length) == mac("purpose", "a" * length)


def test_kskits_uids_have_30_digits_of_an_unkeyed_digest():
    made = str(int(hashlib.sha256(b"P1123").hexdigest(), 16))[:30]
    assert gen_dicom_uid("P1", "1.2.3", "9.9") == f"9.9.{made}"
    keyed = Identity(KEY, kskit_uids=True)
    assert keyed.uid("1.2.3") == Identity(KEY).uid("1.2.3")  # without a root there is no such method
