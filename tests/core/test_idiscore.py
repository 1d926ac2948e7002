"""idiscore's classes under their own names, and what they promise here."""

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from beamstop import Quarantined
from beamstop.idiscore import Clean, Core, PrivateTags, Profile, RepeatingGroup, Rule, RuleSet, SingleTag

KEY = bytes(range(32))


@pytest.mark.parametrize("missing", ["SOPInstanceUID", "SOPClassUID", "StudyInstanceUID"])
def test_core_searches_for_leaks_whatever_uids_are_missing(missing):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.StudyInstanceUID = CTImageStorage, "1.2.3.4", "1.2.3"
    dataset.PatientName, dataset.StudyDescription = "Wubbleford^Zoraida", "CT of Wubbleford"
    del dataset[missing]
    core = Core(Profile([RuleSet([Rule("PatientName", "X")])]), KEY)
    with pytest.raises(Quarantined, match="leak: StudyDescription"):
        core.deidentify(dataset)


@pytest.mark.parametrize("identifier", [PrivateTags(), SingleTag(0x00191008), RepeatingGroup("0019,xxxx")])
@pytest.mark.parametrize("operation", [Clean(), "C"])
def test_cleaning_private_elements_keeps_only_what_is_known_to_be_safe(identifier, operation):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3.4"
    block = dataset.private_block(0x0019, "OUR HOSPITAL", create=True)
    block.add_new(0x08, "LO", "seen by the porter")
    safe = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    safe.add_new(0x0C, "IS", "1000")
    clean = Core(Profile([RuleSet([Rule(identifier, operation)])]), KEY).deidentify(dataset)
    assert (0x0019, 0x1008) not in clean
    assert ((0x0019, 0x110C) in clean) == (not isinstance(identifier, SingleTag))
