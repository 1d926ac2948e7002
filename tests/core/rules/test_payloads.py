import io
import struct
from datetime import date, timedelta

import pytest
from pydicom.uid import (
    EncapsulatedCDAStorage,
    EncapsulatedMTLStorage,
    EncapsulatedOBJStorage,
    EncapsulatedPDFStorage,
    EncapsulatedSTLStorage,
)

from beamstop import deidentify_bytes
from beamstop.dicom.files import read_dicom
from beamstop.errors import Quarantined, Rejected
from beamstop.identity import Identity
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.rules.payloads import clean_cda, clean_obj, clean_stl

KEY = bytes(range(32))
IDENTITY = Identity(KEY)
CLEAN = parse_recipe("{encapsulated: clean, options: [retain-longitudinal-modified-dates]}")
TRIANGLE = struct.pack("<12fH", *range(12), 0x7FFF)
STL = b"Roe^Jane R-1001 skull".ljust(80, b" ") + struct.pack("<L", 2) + TRIANGLE * 2
CDA = """<?xml version="1.0"?><!-- made for Jane Roe -->
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="1.2.3.4.99" extension="DOC-7"/>
  <code code="18748-4" codeSystem="2.16.840.1.113883.6.1" displayName="Diagnostic imaging report"/>
  <title>CT head of Jane Roe</title>
  <effectiveTime value="20240229101530+0100"/>
  <recordTarget><patientRole><id root="1.2.3.4.98" extension="R-1001"/>
    <addr><streetAddressLine>Nowhere 1</streetAddressLine><city>Quibbleton</city></addr>
    <telecom value="tel:+1-617-555-0100"/>
    <patient><name><given>Jane</given><family>Roe</family></name><sdtc:deceasedInd value="false"/>
    <birthTime value="19610317"/></patient></patientRole></recordTarget>
  <author><time value="20240229"/><assignedAuthor><id root="1.2.3.4.97"/>
    <assignedPerson><name><given>Zora</given><family>Wubbleford</family></name></assignedPerson></assignedAuthor></author>
  <custodian><assignedCustodian><representedCustodianOrganization><id root="1.2.3.4.96"/>
    <name>Grimsworthy Clinic</name></representedCustodianOrganization></assignedCustodian></custodian>
  <participant typeCode="REF"><associatedEntity classCode="PROV"/></participant>
  <component><structuredBody><component><section><title>Findings</title>
    <text>Dr. Wubbleford saw the patient of Grimsworthy, 93 years old, on 2024-02-28.
      <table><tr><td>Roe</td><td>No midline shift, T2 hyperintensity 3 mm</td></tr></table></text>
    <entry><observation classCode="OBS" moodCode="EVN"><id root="1.2.3.4.95"/>
      <code code="121071" codeSystem="1.2.840.10008.2.16.4" displayName="Finding"/>
      <effectiveTime><low value="20240228"/></effectiveTime>
      <value xsi:type="PQ" value="3" unit="mm"/>
      <performer><assignedEntity><id root="1.2.3.4.94"/></assignedEntity></performer>
    </observation></entry></section></component></structuredBody></component>
</ClinicalDocument>"""
TOLD = (
    "Roe",
    "Jane",
    "Wubbleford",
    "Zora",
    "Grimsworthy",
    "Quibbleton",
    "617",
    "R-1001",
    "DOC-7",
    "1.2.3.4.9",
    "1961",
)


def document(make_dataset, sop_class, payload, mime, **attributes):
    dataset = make_dataset(
        SOPClassUID=sop_class,
        Modality="DOC",
        EncapsulatedDocument=payload + b"\0" * (len(payload) % 2),
        MIMETypeOfEncapsulatedDocument=mime,
        EncapsulatedDocumentLength=len(payload),
        **{"DocumentTitle": "Report of Jane Roe"} | attributes,
    )
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def moved(day, days):
    return f"{day + timedelta(days=days):%Y%m%d}"


def test_a_report_keeps_what_was_found_and_loses_who_it_is_about():
    clean = clean_cda(CDA.encode(), IDENTITY, lambda text: text, "move", -10).decode()
    assert [told for told in TOLD if told in clean] == []
    assert "No midline shift, T2 hyperintensity 3 mm" in clean
    assert "saw the patient of, 90 years old, on 2024-02-28." in clean
    assert '<value xsi:type="PQ" value="3" unit="mm"/>' in clean
    assert 'code="18748-4"' in clean
    assert '<effectiveTime value="20240219101530+0100"/>' in clean
    assert '<low value="20240218"/>' in clean
    assert f'<id root="{IDENTITY.uid("1.2.3.4.99^DOC-7")}"/>' in clean
    assert f'<id root="{IDENTITY.uid("1.2.3.4.95")}"/>' in clean
    assert '<recordTarget><patientRole><id nullFlavor="MSK"/></patientRole></recordTarget>' in clean
    assert '<time nullFlavor="MSK"/>' in clean
    assert "performer" not in clean
    assert "participant" not in clean
    assert "<!--" not in clean


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A <performer>Jane</performer> B", "<text>a  b</text>"),
        ("<b/><performer>Jane</performer> B", "<text><b/> b</text>"),
        ("<b/>A<performer>Jane</performer> B", "<text><b/>a b</text>"),
        ("<performer>Jane</performer>", "<text></text>"),
        ("<performer>Jane</performer><performer>Zora</performer>C", "<text>c</text>"),
    ],
)
def test_the_text_behind_what_is_taken_out_stays_and_is_cleaned(before, after):
    report = CDA.replace("<text>Dr.", f"<text>{before}</text><text>Dr.")
    assert after in clean_cda(report.encode(), IDENTITY, str.lower, "keep", -10).decode()


@pytest.mark.parametrize(("dates", "time"), [("remove", 'nullFlavor="MSK"'), ("keep", 'value="20240228"')])
def test_dates_of_a_report_follow_the_recipe(dates, time):
    assert f"<low {time}/>" in clean_cda(CDA.encode(), IDENTITY, lambda text: text, dates, -10).decode()


def test_a_report_is_cleaned_with_what_the_header_knows(make_dataset):
    data = document(
        make_dataset,
        EncapsulatedCDAStorage,
        CDA.encode(),
        "text/XML",
        HL7InstanceIdentifier="1.2.3.4.99^DOC-7",
        SeriesDate="20240228",  # its own: a date in a text that is nobody's would be cut out
    )
    clean = read_dicom(deidentify_bytes(data, CLEAN, KEY))
    payload = clean.EncapsulatedDocument.decode()
    assert [told for told in TOLD if told in payload] == []
    days = IDENTITY.shift_days(make_dataset())
    assert f"on {date(2024, 2, 28) + timedelta(days=days)}." in payload
    assert f'<low value="{moved(date(2024, 2, 28), days)}"/>' in payload
    assert clean.HL7InstanceIdentifier == IDENTITY.uid("1.2.3.4.99^DOC-7")
    assert f'root="{clean.HL7InstanceIdentifier}"' in payload
    assert "EncapsulatedDocumentLength" not in clean
    assert clean.DocumentTitle == "Report of"


@pytest.mark.parametrize(
    "payload",
    [
        b"<ClinicalDocument",
        b"<ClinicalDocument/>",
        b'<!DOCTYPE x [<!ENTITY e "x">]><ClinicalDocument xmlns="urn:hl7-org:v3">&e;</ClinicalDocument>',
        b'<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody/></component></ClinicalDocument>',
        b'<ClinicalDocument xmlns="urn:hl7-org:v3"><text representation="B64">Sm9l</text></ClinicalDocument>',
        b"%PDF-1.4",
    ],
)
def test_what_is_no_plain_report_is_held_back(payload):
    with pytest.raises(Quarantined, match="payload_uncleanable"):
        clean_cda(payload, IDENTITY, lambda text: text)


def test_a_solid_keeps_its_triangles_and_loses_its_header():
    assert clean_stl(STL) == bytes(80) + STL[80:]


def test_an_ascii_solid_loses_its_name():
    facet = (
        b"facet normal 0 0 1e-3\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 -1.5 0\nendloop\nendfacet\n"
    )
    clean = clean_stl(b"solid Jane Roe\n" + facet + b"endsolid Jane Roe\n")
    assert clean.rstrip(b"\n") == (b"solid\n" + facet + b"endsolid").rstrip(b"\n")
    assert len(clean) % 2 == 0


@pytest.mark.parametrize(
    "payload", [b"", b"Jane Roe", b"solid x\nJane Roe\nendsolid", STL[:-3], STL + b"Jane Roe"]
)
def test_what_is_no_solid_is_held_back(payload):
    with pytest.raises(Quarantined, match="payload_uncleanable"):
        clean_stl(payload)


def test_a_model_and_its_materials_keep_geometry_and_agree_on_names():
    model = b"# Jane Roe\nmtllib Jane Roe.mtl\no Jane\ng skull\nv 1 2.5 -3e-2 # Jane\n"
    model += b"f 1//2 2/1 3\nusemtl Roe_bone\n"
    materials = b"newmtl Roe_bone\nKd 0.9 0.8 0.7\nmap_Kd -s 1 1 1 -clamp on Jane Roe.png\n"
    clean_model, clean_materials = clean_obj(model, IDENTITY), clean_obj(materials, IDENTITY)
    bone = IDENTITY.pseudonym("payload", "Roe_bone").encode()
    assert clean_model.split(b"\n")[3:6] == [b"v 1 2.5 -3e-2", b"f 1//2 2/1 3", b"usemtl " + bone]
    file = IDENTITY.pseudonym("payload", "Jane Roe.png").encode()
    assert clean_materials.rstrip().split(b"\n") == [
        b"newmtl " + bone,
        b"Kd 0.9 0.8 0.7",
        b"map_Kd -s 1 1 1 -clamp on " + file,
    ]
    assert b"Roe" not in clean_model
    assert b"Jane" not in clean_model


@pytest.mark.parametrize("payload", [b"Jane Roe\n", b"v 1 2 Jane\n", b"call Jane.obj\n", b"v 1.2.840.1 0 0"])
def test_what_is_no_model_is_held_back(payload):
    with pytest.raises(Quarantined, match="payload_uncleanable"):
        clean_obj(payload, IDENTITY)


OBJ, MTL = b"o Jane Roe\nv 1 2 3\n", b"newmtl Jane Roe\nKd 1 1 1\n"
KINDS = [
    (EncapsulatedCDAStorage, CDA.encode(), "text/XML"),
    (EncapsulatedSTLStorage, STL, "model/stl"),
    (EncapsulatedOBJStorage, OBJ, "model/obj"),
    (EncapsulatedMTLStorage, MTL, "model/mtl"),
]


@pytest.mark.parametrize(("sop_class", "payload", "mime"), KINDS)
def test_cleaned_where_the_recipe_says_so_and_turned_away_else(make_dataset, sop_class, payload, mime):
    data = document(make_dataset, sop_class, payload, mime)
    clean = deidentify_bytes(data, CLEAN, KEY)
    assert b"Roe" not in clean
    assert read_dicom(clean).EncapsulatedDocument not in (b"\0\0", payload)
    with pytest.raises(Rejected, match="encapsulated_document"):
        deidentify_bytes(data, load_recipe("basic"), KEY)


def test_a_pdf_is_never_written_with_its_payload(make_dataset):
    data = document(
        make_dataset, EncapsulatedPDFStorage, b"%PDF-1.4 Jane Roe", "application/pdf", DocumentTitle=""
    )
    for recipe in (CLEAN, parse_recipe("{encapsulated: clean, bouncers: []}"), load_recipe("basic")):
        with pytest.raises(Rejected, match="encapsulated_document"):
            deidentify_bytes(data, recipe, KEY)
    unguarded = read_dicom(deidentify_bytes(data, parse_recipe("bouncers: []"), KEY))
    assert unguarded.EncapsulatedDocument == b"\0\0"
    assert "EncapsulatedDocumentLength" not in unguarded


def test_a_payload_of_another_kind_than_its_class_is_held_back(make_dataset):
    data = document(make_dataset, EncapsulatedCDAStorage, b"%PDF-1.4 Jane Roe", "text/XML")
    with pytest.raises(Quarantined, match="payload_uncleanable"):
        deidentify_bytes(data, CLEAN, KEY)
