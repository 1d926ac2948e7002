"""Finds anybody's identifiers in text by their form, with patterns.

Descriptions are full of numbers and capitals, so a pattern needs more than digits: a label, a place that no
vocabulary knows, the grouping of a telephone number. In doubt the text stays, because this instance's own
identifiers are found by their values anyway.
"""

import re
from collections.abc import Iterator

from beamstop.dicom.deadline import check_time
from beamstop.words.national_numbers import national_numbers
from beamstop.words.normal_form import WORD
from beamstop.words.vocabulary import eponyms, fold, is_common_word, name_words, ordinary, vocabulary
from beamstop.words.word_forms import is_known, is_medicine

Span = tuple[int, int, str]  # start, end, replacement

OLDEST = 90  # ages over 89 are one category: HIPAA 164.514(b)(2)(i)(C)
MIN_AREA = 2  # letters of a British postal area that cannot be a level of the spine
MAX_ABBREVIATION = 4
# A pattern may need quadratic time, so long texts are searched in parts.
_PART, _TWICE = 1000, 250  # characters of a part, and of its overlap with the next one

_PARTICLES = (
    r"(?:(?:van|von|vom|zu|zur|de|del|della|den|der|di|da|dos|du|la|le|ten|ter|el|al|bin|ben)\s+){0,3}"
)
# Possessive, with few hyphens: otherwise a row of names takes quadratic time.
_NAME = r"(?:[A-ZÀ-Þ][^\W\d_]*+(?:['’-][^\W\d_]++){0,6}+)"
_NAMES = rf"(?:{_PARTICLES}(?:[A-Z]\.?\s*){{0,2}}{_NAME}(?:[ ^]+(?:[A-Z]\.\s*)?{_NAME}){{0,2}})"
_NUMBER = r"(?P<value>(?=[\w/.-]*[0-9]{3})[A-Za-z0-9][\w/.-]*[\w])"
_LONG_NUMBER = r"(?P<value>(?=[\w/.-]*[0-9]{5})[A-Za-z0-9][\w/.-]*[\w])"

_MAIL_USER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-")
_MAIL_HOST = re.compile(r"(?i)[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_URL = re.compile(r"(?i)(?<![a-z0-9])(?:(?:https?|ftp|file)://|www\.)[^\s<>\"]*[^\s<>\".,;:!?)\]]")
_IN_SHAPE = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![0-9.])[0-2](?:\.(?:0|[1-9][0-9]*)){5,}(?![0-9])",  # a UID; versions have fewer components
        r"(?<![0-9])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9])",  # social security number
        r"(?<![0-9.])756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}(?![0-9.])",  # the same in Switzerland, and in France
        r"(?<![0-9])[12] [0-9]{2} (?:0[1-9]|1[0-2]) [0-9][0-9AB] [0-9]{3} [0-9]{3}(?: [0-9]{2})?(?![0-9])",
        # Telephones: North America, international, France in pairs, others with their leading zero.
        r"(?<![\w.])(?:\+?1[ .-]?)?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}(?![0-9])",
        r"(?<![\w.])\+[0-9]{1,3}[ ./()-]{1,2}[0-9(][0-9 ./()-]{5,}[0-9]",
        r"(?<![\w.])0[1-9](?P<mark>[ .-])(?:[0-9]{2}(?P=mark)){3}[0-9]{2}(?![0-9])",
        r"(?<![\w.])\(?0[1-9][0-9]{1,3}\)?(?:[ -]| ?/ ?)(?:[0-9]{5,8}|[0-9]{3,4}[ -][0-9]{3,5})(?![0-9])",
        r"(?<![\w.])\(0[1-9]\) ?[0-9]{4} [0-9]{4}(?![0-9])",
        # Streets: 12 Main Street; 12 bis, rue de la Paix.
        r"\b[0-9]{1,5}[A-Za-z]?\s+(?:[NSEW]\.?\s+)?(?:[A-Z][\w'.-]*\s+){1,3}"
        r"(?:Street|STREET|St\.?|Avenue|AVENUE|Ave\.?|Road|ROAD|Rd\.?|Lane|LANE|Boulevard|BOULEVARD|Blvd\.?|BLVD|"
        r"Highway|HIGHWAY|Parkway|PARKWAY)(?:\s+[NS][EW])?(?![\w])",
        r"\b[0-9]{1,4}(?:\s?(?:bis|ter))?,?\s+(?i:rue|avenue|boulevard|bd|chemin|impasse|quai)\s+"
        r"(?:(?:de|du|des|la|l['’]|d['’])\s*){0,2}[A-ZÀ-Þ][\w'’-]+(?:\s+[A-ZÀ-Þ][\w'’-]+){0,2}",
        r"(?i)\bp\.?\s?o\.?\s?box\s+[0-9]+",
        # Postal codes: Boston, MA 02115; NSW 2000; K1A 0B1.
        r"\b[A-Z][\w.-]{1,60}+,\s*[A-Z]{2}\s+[0-9]{5}(?:-[0-9]{4})?\b",
        r"\b(?:NSW|VIC|QLD|TAS)\s+[0-9]{4}\b",
        r"(?<![\w.-])(?:A|B|CH|D|DK|E|F|I|L|NL)-[0-9]{4,5}\s+[A-ZÄÖÜ][a-zäöüßéè]+\b",  # D-10117 Berlin
        r"(?<![\w-])(?!T[12]W)[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z][ -]"
        r"[0-9][ABCEGHJ-NPRSTV-Z][0-9](?![\w-])",
        # Numbers of specimens and orders: S21-1234, SP2021-00123, SR1274-908A; not B50-800, TE80-160.
        r"(?<![\w.-])(?!(?:CT|ET|FA|FOV|HU|KV|MA|MR|SL|TA|TE|TI|TR)[0-9]|B[0-9]{2,4}-[0-9]{0,2}[05]0\b)"
        r"[A-Z]{1,3}[0-9]{2,6}-(?:[0-9]{3,7}|(?<=[0-9]{4}-)[0-9]{2})[A-Z]?(?![\w-])",
    )
)
# Hauptstr. 12; Kerkstraat 12
_STREET = re.compile(
    r"(?:straße|strasse|str\.|gasse|allee|platz|weg|straat|laan|gracht|singel|plein|gatan|vägen)\s+[0-9]{1,4}[a-z]?\b"
)
_CAPITAL = re.compile(r"\b[A-ZÄÖÜ]")
# A group named `unknown` must have a word that no vocabulary knows: 3 Posterior Court is not an address.
_WITH_UNKNOWN = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b[0-9]{1,5}[A-Za-z]?\s+(?P<unknown>(?:[A-Z][\w'.-]*\s+){1,3})"
        r"(?:Drive|DRIVE|Dr\b(?!\.?\s+[A-Z])|Court|COURT|Terrace|TERRACE|Crescent|CRESCENT|Square|SQUARE|Gardens)\b\.?",
        r"\b(?:Calle|C/|Avenida|Avda\.?|Paseo|Via|Viale|Piazza|Rua)\s+(?:(?:de|del|la|di|da|dei)\s+){0,2}"
        r"(?P<unknown>[A-ZÀ-Þ][\w'’-]+(?:\s+[A-ZÀ-Þ][\w'’-]+){0,2}),?\s+[0-9]{1,4}\b",
        # The first word of San Antonio, TX 78205
        r"\b(?P<unknown>[A-Z][\w.-]{1,60}+)\s+(?=[A-Z][\w.-]{1,60}+,\s*[A-Z]{2}\s+[0-9]{5}\b)",
        # 69120 Heidelberg, CH-8000 Zürich, 00-950 Warszawa, 1012 AB Amsterdam
        r"(?<![\w.-])(?:(?:[A-Z]{1,2}-)?[0-9]{5}|[A-Z]{1,2}-[0-9]{4}|[0-9]{2}-[0-9]{3}|[1-9][0-9]{3}\s?[A-Z]{2})"
        r"\s+(?P<unknown>[A-ZÄÖÜ][a-zäöüßéè]+)\b",
    )
)
_BRITISH_POSTAL_CODE = re.compile(
    r"(?<![\w-])(?P<area>AB|AL|B|BA|BB|BD|BH|BL|BN|BR|BS|BT|CA|CB|CF|CH|CM|CO|CR|CT|CV|CW|DA|DD|DE|DG|DH|DL|DN|DT|DY|E|EC|"
    r"EH|EN|EX|FK|FY|G|GL|GU|HA|HD|HG|HP|HR|HS|HU|HX|IG|IP|IV|KA|KT|KW|KY|L|LA|LD|LE|LL|LN|LS|LU|M|ME|MK|ML|N|NE|NG|"
    r"NN|NP|NR|NW|OL|OX|PA|PE|PH|PL|PO|PR|RG|RH|RM|S|SA|SE|SG|SK|SL|SM|SN|SO|SP|SR|SS|ST|SW|SY|TA|TD|TF|TN|TQ|TR|TS|"
    r"TW|UB|W|WA|WC|WD|WF|WN|WR|WS|WV|YO|ZE)(?:[1-9][0-9]?|[1-9][A-HJKPSTUW])"
    r" [0-9](?P<end>[ABD-HJLNP-UW-Z]{2})(?![\w-])"
)
# The label stays, the value is removed.
_RECORD_LABELS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i:\b(?:tel(?:ephone|efon)?|phone|ph|fax|mobile|cell|pager|beeper|bleep|call|gsm|handy)\b[.:#\s]*"
        r"(?:no\.?|number)?[:#\s]*)(?P<value>\+?[0-9(][0-9 ()./-]{4,}[0-9])",
        r"(?i:\b(?:pager|beeper|bleep|ext(?:ension)?)\b[.:#\s]*)(?P<value>[0-9]{4,6})(?![\w.])",
        r"(?i:\b(?:mrn?|med(?:ical)?\.?\s*rec(?:ord)?\.?|patient\s*id|pat\s*id|pid|acc(?:ession|n)?|acct|account|ssn|chart|"
        r"visit|encounter|order|requisition|req|case|hosp(?:ital)?|unit|policy|member|insurance|nhs|id)"
        rf"\s*(?:(?:no|nr|num|number|id)\b\.?)?\s*[:#=]+\s*#?){_NUMBER}",
        r"(?i:\b(?:mrn|accession(?:\s*(?:no\.?|num(?:ber)?))?|acc\.?\s*(?:no\.?|nr\.?|num(?:ber)?)|"
        rf"medical\s+record(?:\s*(?:no\.?|num(?:ber)?))?|patient\s+id|ssn)\s+#?){_NUMBER}",
        r"(?i:\b(?:mr|acc|acct|account|visit|encounter|order|requisition|case|chart|episode|id|no|nr)\.?\s+#?)"
        r"(?P<value>[0-9]{6,})(?![\w.])",
        # Pat.-Nr., Patientennummer, Fall-Nr., Auftragsnummer, patiëntnummer
        r"(?i:\b(?:pat(?:i[eë]nt(?:en)?)?|fall|auftrags?|aufnahme|akten|untersuchungs)"
        rf"[-. ]{{0,2}}(?:nr|nummer|no)\b[.:#\s]*){_NUMBER}",
        # French, Dutch, Danish, Spanish, Scottish record numbers; travel documents
        r"(?i:\b(?:ipp|nip|nda|nir|bsn|cpr|chi|nhc|dni|nie|passport|passeport|dossier|historia|expediente)\b"
        rf"\s*(?:n[o°]|nr)?[.:#\s]*){_LONG_NUMBER}",
        r"(?i:\bnhs\s*(?:no\.?|number)?[:#\s]*)(?P<value>[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4})(?![0-9])",
        # A year of birth
        r"(?i:\b(?:dob|d\.o\.b|born|geb(?:oren)?|née?|birth\s?(?:date|year)|year\s+of\s+birth)\b"
        r"[.:]?\s*(?:in\s+|en\s+|am\s+)?)"
        r"(?P<value>(?:19|20)[0-9]{2})(?![\w./-])",
    )
)
_DIGIT = re.compile(r"[0-9]")
_ANY_LABEL = re.compile(
    r"(?i)\b(?:tel|ph|fax|mob|cell|pag|bee|ble|call|gsm|handy|ext|mr|med|pa?t|pid|acc|ssn|chart|visit|encounter|order|req|"
    r"case|hosp|unit|polic|member|insur|nhs|id|episode|n[ro]|fall|auft|aufn|akten|unters|ipp|nip|nda|nir|bsn|cpr|chi|nhc|"
    r"dni|nie|pass|dossier|hist|exp|dob|d\.o\.b|born|geb|née?|birth|year)"
)
_NAME_LABEL = re.compile(
    r"\b(?i:(?:patient|pt)(?:['’]?s)?(?:\s+name)?|name|nom|naam|nombre|"
    r"(?:referring|ref|attending|ordering)(?:\s+(?:physician|md|dr))?|"
    r"physician|operator|technologist|tech(?:\s+initials)?|radiologist|signed(?:\s+by)?|attn)"
    rf"\s*[:=]\s*(?P<value>{_NAME},\s*{_NAME}|{_NAMES})"
)
_BY = re.compile(
    r"\b(?i:(?:read|reported|dictated|signed|referred|verified|reviewed|interpreted|transcribed|approved|seen)\s+by)"
    rf"\s+(?P<value>(?:[A-Z]\.\s*)+{_NAME}|{_NAME}(?:\s+[A-Z]\.|\s+{_NAME}){{1,2}})"
)
_DEGREE = re.compile(
    rf"\b(?P<initials>(?:[A-Z]\.\s*){{0,2}})(?P<name>{_NAME}(?:\s+[A-Z]\.)?(?:\s+{_NAME}){{0,2}}),?\s+(?:M\.?D|Ph\.?D|D\.O|R\.?N|MBBS|FRCR)\b\.?"
)
_A_TITLE = (
    r"(?:(?:Drs?|Mr|Mrs|Ms|Prof|Dra|Sra|Srta|Dña|Doña|Dhr|Mevr|Mlle|Mme|Dott|Dottssa)\b\.?\s*|"
    r"(?:Frau|Herrn?|Monsieur|Madame|Mademoiselle|Señora?|Signora?|[Mm]evrouw|[Mm]eneer)\s+)"
)
_TITLE = re.compile(
    r"(?<![\w-])(?=[DFHMPSdmp])(?:"
    # Only a title: a name follows.
    rf"(?P<sure>(?:(?:Fr|Hr|Pr|Sr)\.\s*(?={_A_TITLE}))?{_A_TITLE}(?:{_A_TITLE}|(?:med|rer|nat|phil|dent|h\.\s?c)\.\s*){{0,8}})"
    # A modality, a direction or a unit as well: a name that no vocabulary knows follows.
    r"|(?P<perhaps>(?:DR|MR|MRS|MS|PROF|FRAU|HERR|MME)\b(?P<dot>\.)?|Professor|Doctor|Miss|(?<![0-9]\s)(?:Fr|Hr|Pr|Sr|Sig)\.)\s+)"
    rf"\s*(?P<name>{_NAMES})"
    r"|(?<![\w-])(?P<small>(?:dr|prof)\.\s+)(?P<small_name>[a-z][^\W\d_]{2,})"
)
# A letter or two and digits after a title: a level, a version, a sequence.
_CODE = re.compile(r"[^\W\d_]{1,2}[0-9]")
# Titles that are a modality's name on instances of these modalities; on _OTHER_MODALITIES they are neither.
_MODALITIES = {
    "MR": frozenset({"MR"}),
    "DR": frozenset({"CR", "DR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"}),
}
_OTHER_MODALITIES = frozenset({"CT", "ECG", "ES", "GM", "NM", "OP", "OPT", "SM", "US", "XC"})
# Years, in the languages of Europe and East Asia; "let" and "lat" are English and anatomy without a number.
_YEARS_OLD = (
    r"years?|yrs?|y/?\s?o\b|y\.\s?o\.|jahre?n?\b|j(?:ä|ae)hrige?[nrsm]?\b|jahr\b|jaar\b|jarige?\b|ans\b|años|anni\b|anos\b|enne\b|"
    r"år(?:ig|ing|s)?\b|aar(?:ig)?\b|åring\b|(?-i:lat)\b(?!\s*(?:decub|view|proj))|letn\w{1,4}\b|let(?:ý|á|ni|nia|á\w?)?\b|rok(?:ów|u|y)?\b|r\.\s?ż|"
    r"éves|eves\b|éve|vuotta\b|vuotias\b|v\.\s?ikä|лет\b|года?\b|років|yaş|χρον|ετών|godin\w{0,3}\b|let[ani]\b|de\s+ani\b|ani\b|"
    r"سنة|عام|שנה|岁|歲|歳|才\b|세|살|ปี|tuổi"
)
_AGE = re.compile(
    rf"(?i)(?<![\w.,/-])(?P<age>0?9[0-9]|1[0-2][0-9])(?=[\s-]{{0,2}}(?:{_YEARS_OLD})|Y(?!\w)|\s?[FMfm](?:,|\s+(?:with|w/|s/p|c/o|h/o|presents|p/w)))"
    r"|\b(?:age|aged|alter|âge|edad|eta|età|wiek|věk|ålder|alder|leeftijd|idade|возраст|[eé]letkor|年龄|年齢|年齡|나이)\s*[:=]?\s*"
    r"(?P<named>9[0-9]|1[0-2][0-9])(?![\w.]|\s*(?:days?|weeks?|months?|d|w|m)\b)"
)
# In short: 95 J., 95J; of sex and age 95F, 95/F, F/95; in the 95th year of life. Units have the same letters.
_AGE_IN_SHORT = re.compile(
    r"(?<![\w.,/-])(?:(?P<years>9[0-9]|1[01][0-9])(?=\s?J(?:\.|(?![\w/.])))"
    r"|(?P<sexed>9[0-9]|1[01][0-9])(?=[FM](?![\w./+-])|\s?/\s?[FMWK](?![\w.]))"
    r"|[FMWK]\s?/\s?(?P<behind>9[0-9]|1[01][0-9])(?![\w.,/%-])"
    r"|(?P<life>9[0-9]|1[01][0-9])(?=\.?\s?(?:Lebensjahr|LJ\b|levensjaar|levnadsår|roku\s+życia|année|rok\s+života|life\s?year)))"
)
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_AGE_IN_WORDS = re.compile(
    rf"(?i)\b(?P<word>ninety[- ]?(?:{_ONES})|(?:one\s+|a\s+)?hundred(?:[- ](?:and[- ])?(?:{_ONES}|ten))?|"
    r"(?:ein|zwei|drei|vier|fünf|fuenf|sechs|sieben|acht|neun)undneunzig|hundert(?:eins?|zwei|drei)?|"
    r"quatre-vingt-(?:onze|douze|treize|quatorze|quinze|seize|dix-(?:sept|huit|neuf))|noventa\s+y\s+\w{3,6}|novant\w{3,7}|"
    r"dziewięćdziesiąt\s+\w{3,8}|devadesát\s+\w{2,5}|devadesáti\w{3,5}|nittio\w{2,4}|negentig|\w{3,6}ënnegentig|kilencven\w{2,5}|девяносто\s+\w{3,6})"
    r"(?=[\s-]{0,2}(?:jährig|jaehrig|year|ans\b|años|anni\b|lat\b|let\b|år|jaar|jahre|éves|лет\b|года?\b))"
)


def find_shapes(text: str, modality: str = "") -> Iterator[Span]:
    """Yield text with the form of an identifier, and its replacement: nothing, or `90` for an age over 89.

    Mail addresses, URLs, UIDs, telephones, street lines, postal codes, numbers after "MRN", "Acc#" and
    similar labels, years of birth, names after a title or a label or before a degree. Spans may overlap.

    >>> [text[start:end] for text in ("MR BRAIN for Mr. Brown",) for start, end, _ in find_shapes(text)]
    ['Mr. Brown']
    """
    for offset, part in _parts(text):
        check_time()
        for start, end, instead in _shapes_in(part, modality):
            yield offset + start, offset + end, instead


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Yield parts of a text and their offsets; they begin at a word if possible."""
    start = 0
    while start + _PART < len(text):
        yield start, text[start : start + _PART]
        last = start + _PART - _TWICE
        words = max(text.rfind(blank, last - _TWICE, last) for blank in " \n")
        start = words + 1 if words >= 0 else last
    yield start, text[start:]


def _shapes_in(text: str, modality: str) -> Iterator[Span]:
    yield from _addresses(text)
    text = text.replace("_", " ")  # separates words like a blank, and is in no pattern below
    if _DIGIT.search(text):
        yield from _numbered(text)
    yield from _people(text, modality)


def _numbered(text: str) -> Iterator[Span]:
    """Yield identifiers with a number in them."""
    for shape in _IN_SHAPE:
        for match in shape.finditer(text):
            yield *match.span(), ""
    yield from _streets(text)
    for shape in _WITH_UNKNOWN:
        for match in shape.finditer(text):
            if _holds_unknown(match["unknown"]):
                yield *match.span(), ""
    for match in _BRITISH_POSTAL_CODE.finditer(text):
        # L5 1SE and M1 2ND could be medicine.
        if len(match["area"]) >= MIN_AREA or fold(match["end"]) not in vocabulary():
            yield *match.span(), ""
    yield from ((start, end, "") for start, end in national_numbers(text))
    if _ANY_LABEL.search(text):
        for label in _RECORD_LABELS:
            for match in label.finditer(text):
                yield *match.span("value"), ""
    yield from _ages(text)


def _addresses(text: str) -> Iterator[Span]:
    """Yield mail addresses, without known words that an underscore joins to them, and URLs."""
    for match in _URL.finditer(text):
        yield *match.span(), ""
    for start, end in _mails(text):
        first, mark, _ = text[start:end].partition("_")
        while mark and fold(first) in vocabulary():
            start += len(first) + 1
            first, mark, _ = text[start:end].partition("_")
        yield start, end, ""


def _mails(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of mail addresses, searched from their @."""
    done, at = 0, text.find("@")
    while at >= 0:
        host, start = _MAIL_HOST.match(text, at + 1), at
        while start > done and text[start - 1] in _MAIL_USER:
            start -= 1
        if host and start < at:
            done = host.end()
            yield start, done
        at = text.find("@", max(at + 1, done))


def _streets(text: str) -> Iterator[Span]:
    """Yield streets whose name ends in their kind (…straße), searched from that end."""
    for match in _STREET.finditer(text):
        start = match.start()
        while start and (text[start - 1].isalnum() or text[start - 1] in "-_"):
            start -= 1
        if capital := _CAPITAL.search(text, start, match.start()):
            yield capital.start(), match.end(), ""


def _ages(text: str) -> Iterator[Span]:
    for pattern in (_AGE, _AGE_IN_SHORT):
        for match in pattern.finditer(text):
            group = match.lastgroup or ""
            if int(match[group]) > OLDEST:
                yield *match.span(group), "0" * match[group].startswith("0") + str(OLDEST)
    for match in _AGE_IN_WORDS.finditer(text):
        yield *match.span("word"), str(OLDEST)


def _people(text: str, modality: str) -> Iterator[Span]:
    for match in _NAME_LABEL.finditer(text):
        yield from _unknown_run(text, *match.span("value"))
    for match in _BY.finditer(text):
        if "." in match["value"] or _holds_unknown(match["value"]):
            yield from _unknown_run(text, *match.span("value"))
    for match in _DEGREE.finditer(text):
        words = list(WORD.finditer(text, match.start(), match.end("name")))
        first = next((number for number, word in enumerate(words) if not is_common_word(fold(word[0]))), None)
        if first is not None:
            while first and len(words[first - 1][0]) == 1:
                first -= 1
            yield words[first].start(), match.end(), ""
    start = 0
    while titled := _TITLE.search(text, start):
        people = list(_titled(text, titled, modality))
        yield from people
        # A word that is not a title (MR in MR HEAD Dr. Wood) must not hide a title after it.
        start = titled.end() if people else titled.start() + 1


def _titled(text: str, match: re.Match[str], modality: str) -> Iterator[Span]:
    """Yield a title and the name after it: one word, and following unknown words."""
    if match["small"]:
        if fold(match["small_name"]) not in ordinary():  # dr. view
            yield *match.span(), ""
        return
    words = list(WORD.finditer(text, *match.span("name")))
    named = next((word for word in words if len(word[0]) > 1 and word[0][0].isupper()), words[-1])
    if _CODE.match(text, named.start()):  # MR B1000, syngo MR E11, CTV MR N1
        return
    if match["sure"]:
        if named[0].isupper() and len(named[0]) <= MAX_ABBREVIATION and _is_known(named[0]):
            return  # Dr. MPR
    elif not match["dot"] and _is_examination(match["perhaps"].strip(), named[0], modality):
        return  # MR BRAIN, DR CHEST
    end = named.end()
    for word in words:
        if word.start() > end and is_known(word[0]):
            break
        end = max(end, word.end())
    yield match.start(), end, ""


def _is_examination(title: str, word: str, modality: str) -> bool:
    """Return whether a title without a point is a modality, a direction or a unit: no name follows."""
    if modality and modality in _MODALITIES.get(title, ()):
        return True
    folded = fold(word)
    if folded in eponyms() or (modality in _OTHER_MODALITIES and folded in name_words()["people"]):
        return False
    return is_known(word) or is_medicine(folded)


def _unknown_run(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the words up to the first ordinary one."""
    for word in WORD.finditer(text, start, end):
        if is_common_word(fold(word[0])) and len(word[0]) > 1:
            return
        yield *word.span(), ""


def _holds_unknown(text: str) -> bool:
    return not all(map(_is_known, WORD.findall(text)))


def _is_known(word: str) -> bool:
    """Return whether a word is known not to be a name; after a title or in an address, Baker is a name."""
    folded = fold(word)
    return folded in vocabulary() and folded not in eponyms()
