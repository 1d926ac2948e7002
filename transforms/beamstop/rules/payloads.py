"""Payloads of encapsulated documents (PS3.3 A.45, A.85), cleaned where all of them can be understood.

===== =========================================================================================
kind  what becomes of it
===== =========================================================================================
CDA   people and organisations go, identifiers are remapped, dates follow the recipe, texts and
      display names lose identifiers, those that only the document names among them
STL   triangles stay as they are; the 80 free bytes, or the name of an ASCII solid, go
OBJ   geometry stays as it is; comments go; names of objects, groups, materials and files become
MTL   keyed stand-ins, the same in the OBJ and its MTL
PDF   never: what a page shows is a program of drawing commands with fonts of its own, and no
      library can say of one that it draws no name
===== =========================================================================================

Whatever does not fit its format to the letter is not cleaned but refused.
"""

import re
import struct
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, Literal

from pydicom.dataelem import DataElement

from beamstop.dicom.deadline import check_time
from beamstop.errors import Quarantined
from beamstop.identity import Identity
from beamstop.rules.dates import shift_dt
from beamstop.rules.operators import Context, HashUID, Operator
from beamstop.rules.rules import Rule, RuleSet
from beamstop.standard.actions import Action
from beamstop.words.clean_text import clean_text
from beamstop.words.identifiers import Identifiers, Name, Words, words_of

Dates = Literal["move", "keep", "remove"]

_CDA_CLASS = "1.2.840.10008.5.1.4.1.1.104.2"
_STL_CLASS = "1.2.840.10008.5.1.4.1.1.104.3"
_OBJ_CLASS = "1.2.840.10008.5.1.4.1.1.104.4"
_MTL_CLASS = "1.2.840.10008.5.1.4.1.1.104.5"
CLEANABLE = frozenset({_CDA_CLASS, _STL_CLASS, _OBJ_CLASS, _MTL_CLASS})

_STL_HEADER, _STL_START, _STL_TRIANGLE = 80, 84, 50
_REAL = rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_STL_LINE = re.compile(
    rb"\s*(?:facet\s+normal(?:\s+%s){3}|outer\s+loop|vertex(?:\s+%s){3}|endloop|endfacet)?\s*\Z"
    % (_REAL, _REAL)
)
_STL_NAME = re.compile(rb"\s*(?P<word>(?:end)?solid)\b")

_STATEMENTS = """
    v vt vn vp f l p s deg bmat step cstype curv curv2 surf parm trim hole scrv sp end con mg bevel lod
    c_interp d_interp ctech stech
    Ka Kd Ks Ke Kt Tf Tr Ni Ns d illum sharpness Pr Pm Ps Pc Pcr aniso anisor
"""
_GEOMETRY = frozenset(_STATEMENTS.encode().split())
_NAMES = frozenset({b"o", b"g", b"usemtl", b"newmtl", b"usemap"})
_FILES = re.compile(rb"(?:mtllib|maplib|shadow_obj|trace_obj|map_\w+|bump|disp|decal|refl|norm)\Z")
_ARGUMENT = re.compile(
    rb"(?:%s|[0-9-]+(?:/[0-9-]*){1,2}|on|off|-halo|rat|bmatrix|bezier|bspline|cardinal|taylor|xyz|cspace|[uvrgbmlz])\Z"
    % _REAL
)
_OPTION = re.compile(rb"-\w+\Z")

_HL7 = "{urn:hl7-org:v3}"
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_MASKED = "MSK"
# One of each is required (CDA R2 4.2); it gets its minimum, marked as withheld.
_REQUIRED = {
    "recordTarget": ("patientRole/id",),
    "author": ("time", "assignedAuthor/id"),
    "custodian": ("assignedCustodian/representedCustodianOrganization/id",),
}
_WITH_PEOPLE = """
    dataEnterer informant informationRecipient legalAuthenticator authenticator performer subject
    inFulfillmentOf documentationOf relatedDocument authorization componentOf addr telecom signatureCode
    assignedPerson associatedPerson relatedPerson guardian
    representedOrganization scopingOrganization scopingEntity providerOrganization
"""
_PEOPLE = frozenset(_WITH_PEOPLE.split())
_TIMES = frozenset({"effectiveTime", "time", "low", "high", "center", "birthTime", "availabilityTime"})
_IDENTIFIERS = frozenset({"id", "setId"})
_TYPES = frozenset({"templateId", "typeId"})
_TELLING_ATTRIBUTES = frozenset({"extension", "assigningAuthorityName", "src"})
_HARMLESS = """
    code codeSystem codeSystemVersion classCode moodCode typeCode determinerCode contextControlCode
    contextConductionInd nullFlavor unit operator inversionInd negationInd independentInd mediaType styleCode
    language use listType colspan rowspan align valign border width cellpadding cellspacing rules frame scope
"""
_STRUCTURE = frozenset(_HARMLESS.split())
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?\Z|true\Z|false\Z")


class CleanPayload(Operator):
    """C: the payload of an encapsulated document without identifiers, by SOP class.

    Raises:
        Quarantined: `payload_uncleanable`.
    """

    action = Action.C

    def __init__(self, dates: Dates = "remove") -> None:
        self.dates = dates

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        """Return the element with a clean payload, padded to even length as its format allows."""
        sop_class = str(context.dataset.get("SOPClassUID") or "")
        data = bytes(element.value or b"")
        if sop_class == _CDA_CLASS:
            clean = clean_cda(data, context.identity, context.clean_text, self.dates, context.days)
        elif sop_class == _STL_CLASS:
            clean = clean_stl(data)
        elif sop_class in {_OBJ_CLASS, _MTL_CLASS}:
            clean = clean_obj(data, context.identity)
        else:
            raise _uncleanable("kind")
        return DataElement(element.tag, "OB", clean)


def rule_set(dates: Dates) -> RuleSet:
    """Return the rules under which encapsulated documents stay, their payload cleaned."""
    return RuleSet(
        [
            Rule("EncapsulatedDocument", CleanPayload(dates), "encapsulated:payload"),
            Rule("EncapsulatedDocumentLength", Action.X, "encapsulated:length"),
            # The document's own id, see `clean_cda`.
            Rule("HL7InstanceIdentifier", HashUID(), "encapsulated:id"),
            Rule("DocumentTitle", Action.C, "encapsulated:title", Action.Z),
        ],
        "encapsulated",
    )


def clean_stl(data: bytes) -> bytes:
    """Return a binary or ASCII STL without its free header or name; of even length.

    Raises:
        Quarantined: bytes or lines that are not geometry.
    """
    if len(data) >= _STL_START:
        (count,) = struct.unpack_from("<L", data, _STL_HEADER)
        end = _STL_START + count * _STL_TRIANGLE
        if data[end:] in (b"", b"\0") and len(data) >= end:
            return bytes(_STL_HEADER) + data[_STL_HEADER:end]
    lines = []
    for line in data.rstrip(b"\0").splitlines():
        check_time()
        name = _STL_NAME.match(line)
        if name is None and not _STL_LINE.match(line):
            raise _uncleanable("STL")
        lines.append(name["word"] if name else line)
    if not lines or not lines[0].startswith(b"solid"):
        raise _uncleanable("STL")
    return _even(b"\n".join(lines) + b"\n")


def clean_obj(data: bytes, identity: Identity) -> bytes:
    """Return a Wavefront OBJ or MTL without comments, its names keyed stand-ins; of even length.

    Raises:
        Quarantined: a statement other than geometry, a material's numbers, a name or a file.
    """
    whole = re.sub(rb"\\\r?\n", b" ", data.rstrip(b"\0"))
    lines = (_obj_line(raw, identity) for raw in whole.splitlines())
    return _even(b"".join(line + b"\n" for line in lines if line))


def _obj_line(raw: bytes, identity: Identity) -> bytes:
    check_time()
    line = raw.split(b"#", 1)[0].strip()
    keyword, *arguments = line.split() or [b""]
    if not keyword:
        return b""
    if keyword in _GEOMETRY and all(map(_ARGUMENT.match, arguments)):
        return line
    if keyword in _NAMES:
        return b" ".join((keyword, *(_stand_in(name, identity) for name in arguments)))
    if not _FILES.match(keyword):
        raise _uncleanable("OBJ or MTL")
    # Options with numbers come first; the rest is one file name, blanks and all.
    first = next(
        (n for n, part in enumerate(arguments) if not _OPTION.match(part) and not _ARGUMENT.match(part)), None
    )
    options = arguments[:first]
    file = [] if first is None else [_stand_in(b" ".join(arguments[first:]), identity)]
    return b" ".join((keyword, *options, *file))


def _stand_in(name: bytes, identity: Identity) -> bytes:
    return identity.pseudonym("payload", name.decode("utf-8", "replace")).encode()


def clean_cda(
    data: bytes, identity: Identity, clean: Callable[[str], str], dates: Dates = "remove", days: int = 0
) -> bytes:
    """Return an HL7 CDA R2 document without people; of even length.

    Args:
        data: the document.
        identity: remaps the identifiers that stay; the document's own becomes what HL7 Instance
            Identifier becomes.
        clean: takes this instance's identifiers out of a text.
        dates: action for times.
        days: days by which they move.

    Raises:
        Quarantined: not well-formed CDA with a structured body, a document type declaration, or
            an embedded payload of its own.
    """
    root = _parse(data)
    own = _harvest(root)
    cleaner = _Cda(
        identity, lambda text: clean(clean_text(text, own, shift_date=lambda day: day)), dates, days
    )
    cleaner.visit(root)
    return _even(cleaner.written(root))


def _parse(data: bytes) -> Any:
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data.rstrip(b"\0 \n\r"), parser)
    except (etree.XMLSyntaxError, ValueError):
        raise _uncleanable("CDA") from None
    if root.tag != f"{_HL7}ClinicalDocument" or root.getroottree().docinfo.internalDTD is not None:
        raise _uncleanable("CDA")
    if next(root.iter(f"{_HL7}nonXMLBody"), None) is not None:
        raise _uncleanable("CDA with another document in it")
    if any(element.get("representation") == "B64" for element in root.iter()):
        raise _uncleanable("CDA with another document in it")
    return root


def _harvest(root: Any) -> Identifiers:
    """Return the people and places named in the document."""
    names: set[Name] = set()
    ids: set[Words] = set()
    places: set[Words] = set()
    contacts: set[Words] = set()
    days: set[date] = set()
    for element in root.iter():
        check_time()
        kind = _kind(element)
        if kind == "name":
            family = " ".join(_texts(element, "family"))
            given = " ".join(_texts(element, "given"))
            if family or given:
                names.add(tuple(filter(None, (words_of(family), words_of(given)))))
            elif _is_about_people(element):
                places.add(words_of(" ".join(element.itertext())))
        elif kind == "addr":
            places.update(words_of(part) for part in element.itertext())
        elif kind == "telecom":
            contacts.add(words_of(element.get("value", "").partition(":")[2]))
        elif kind in _IDENTIFIERS and element.get("extension"):
            ids.add(words_of(element.get("extension")))
        elif kind == "birthTime" and (match := re.match(r"(\d{4})(\d\d)(\d\d)", element.get("value", ""))):
            days.update(_day(*map(int, match.groups())))
    empty: tuple[str, ...] = ()
    return Identifiers(
        frozenset(names),
        frozenset(ids - {empty}),
        frozenset(places - {empty}),
        frozenset(contacts - {empty}),
        frozenset(days),
    )


def _day(year: int, month: int, day: int) -> Iterator[date]:
    try:
        yield date(year, month, day)
    except ValueError:
        return


def _texts(element: Any, kind: str) -> list[str]:
    return [" ".join(child.itertext()) for child in element.iter(f"{_HL7}{kind}")]


def _is_about_people(element: Any) -> bool:
    around = {_kind(ancestor) for ancestor in element.iterancestors()}
    return not around.isdisjoint(_PEOPLE | _REQUIRED.keys())


def _kind(element: Any) -> str:
    """Return the local name of an HL7 element; empty for other namespaces."""
    return str(element.tag)[len(_HL7) :] if str(element.tag).startswith(_HL7) else ""


class _Cda:
    """Cleans one tree, top down."""

    def __init__(self, identity: Identity, clean: Callable[[str], str], dates: Dates, days: int) -> None:
        self._identity = identity
        self._clean = clean
        self._dates = dates
        self._days = days

    def visit(self, element: Any) -> None:
        for child in list(element):
            check_time()
            if self._goes(child):
                self._remove(element, child)
                continue
            if _kind(child) in _REQUIRED:
                self._mask(child)
            else:
                self.visit(child)
            child.tail = self._clean(child.tail) if child.tail else child.tail
        element.text = self._clean(element.text) if element.text else element.text
        self._attributes(element)

    def written(self, root: Any) -> bytes:
        from lxml import etree

        etree.cleanup_namespaces(root)
        return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))

    def _goes(self, element: Any) -> bool:
        kind, is_top = _kind(element), _kind(element.getparent()) == "ClinicalDocument"
        if kind == "participant":  # in the body it may be a product or a place
            return is_top or any(
                entity.get("classCode") == "PSN" for entity in element.iter(f"{_HL7}playingEntity")
            )
        return not kind or kind in _PEOPLE or (kind in _REQUIRED and not is_top)

    def _remove(self, parent: Any, child: Any) -> None:
        """Take an element out and leave the cleaned text behind it."""
        tail = self._clean(child.tail) if child.tail else ""
        before = child.getprevious()
        if before is not None:
            before.tail = (before.tail or "") + tail
        else:
            parent.text = (parent.text or "") + tail
        parent.remove(child)

    def _mask(self, element: Any) -> None:
        tail, kind = element.tail, _kind(element)
        element.clear()
        element.tail = tail
        for path in _REQUIRED[kind]:
            last = element
            for part in path.split("/"):
                last = _append(last, part)
            last.set("nullFlavor", _MASKED)

    def _attributes(self, element: Any) -> None:
        kind = _kind(element)
        is_time = (
            kind in _TIMES or element.get(_XSI_TYPE) in {"TS", "IVL_TS"}
        ) and "unit" not in element.attrib
        if kind in _IDENTIFIERS:
            self._identifier(element)
        elif is_time:
            self._time(element)
        for name, value in list(element.attrib.items()):
            if name in _TELLING_ATTRIBUTES and kind not in _TYPES:
                del element.attrib[name]
            elif not self._is_harmless(name, value, kind, is_time):
                element.set(name, self._clean(value))

    def _is_harmless(self, name: str, value: str, kind: str, is_time: bool) -> bool:
        if name == "value":
            return is_time or bool(_NUMBER.match(value))
        return (
            name in _STRUCTURE
            or name == _XSI_TYPE
            or kind in _TYPES
            or (name == "root" and kind in _IDENTIFIERS)
        )

    def _identifier(self, element: Any) -> None:
        root, extension = element.get("root", ""), element.get("extension", "")
        element.attrib.clear()
        if root:
            element.set("root", self._identity.uid(f"{root}^{extension}" if extension else root))
        else:
            element.set("nullFlavor", _MASKED)

    def _time(self, element: Any) -> None:
        value = element.get("value")
        if value is None or self._dates == "keep":
            return
        moved = shift_dt(value, self._days) if self._dates == "move" else None
        if moved is None:
            del element.attrib["value"]
            element.set("nullFlavor", _MASKED)
        else:
            element.set("value", moved)


def _append(parent: Any, kind: str) -> Any:
    child = parent.makeelement(f"{_HL7}{kind}")
    parent.append(child)
    return child


def _even(data: bytes) -> bytes:
    """Pad with a line feed, which XML and the text formats allow (PS3.5 7.1.1)."""
    return data + b"\n" * (len(data) % 2)


def _uncleanable(kind: str) -> Quarantined:
    return Quarantined("payload_uncleanable", kind)
