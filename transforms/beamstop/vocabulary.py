"""Words that nobody needs to vouch for: DICOM's own, medicine's, and plain English.

Two sets, because a word can be good medicine and somebody's name at once:

* `ordinary()`: a name part or place word equal to one of these tells nothing by itself
  ("Brown", "Hand", "Phantom"), so it is neither searched for nor removed alone.
* `vocabulary()`: these and the eponyms ("Wilson", "Graves"), which stay in a description unless
  they are in this patient's own identifiers.

`data/vocabulary.txt` is written by `tools/make_vocabulary.py` from what pydicom carries (names of
attributes and UIDs, code meanings of PS3.16's context groups); loading it takes 2 ms instead of the
500 ms of importing those dictionaries. The lists below are ours.
"""

import re
import unicodedata
from functools import cache
from importlib import resources

MODALITIES = frozenset(
    """AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX DXA ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL
    IVOCT IVUS KER KO LEN LS MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF
    RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RX SEG SM SMR SR SRF STAIN TEXTUREMAP TG US
    VA XA XAPROTOCOL XC MRI PET SPECT CBCT""".lower().split()
)

# What archives, phantoms and test files put where a name belongs.
PLACEHOLDERS = frozenset(
    """anon anonym anonymous anonymized anonymised anonymize removed redacted deidentified dummy unknown unnamed
    unspecified undefined none null empty missing default other others nobody someone test tests testing tester
    demo sample samples example case cases training trainee phantom water acr qa qc quality assurance calibration
    service engineer physicist research study series patient patients doctor physician operator user admin
    administrator technologist technician tech nurse radiologist hospital clinic institute institution center
    centre university department medical school health healthcare radiology imaging volunteer subject name
    firstname lastname surname given family male female baby boy girl twin newborn infant adult child man woman
    emergency trauma station scanner console workstation server dicom pacs ris his storescp storescu anyscp
    compressed samples image images file files street road avenue lane drive boulevard square place city state""".split()
)

MANUFACTURERS = frozenset(
    """acuson agfa agilent aloka atl barco bruker canon carestream elekta elscint esaote eyetech fischer fuji
    fujifilm ge gems gehc general electric healthineers hitachi hologic imatron kodak konica lorad lumisys mallinckrodt
    marconi mindray minolta mitsubishi mevis mim nucletron osirix philips picker planmed planmeca raysearch samsung
    sectra shimadzu siemens sonosite swissray terarecon toshiba tomotherapy trex varian vidar visage vital zeiss
    zonare microsoft windows linux merge mitra dcmtk pydicom gdcm""".split()
)

ABBREVIATIONS = frozenset(
    """abd abdo abdomen acq adc ap art arterial asl av avg ax axi axial bilat bil bmi bold bw ca cabg cc cerv chest
    cor coron cns cspine ctac cta ctdi ctp cxr cva dce delay delayed diff dlp dob dti dvt dwi dyn ecg ed epi er etoh
    exp ext fat fe fetal fh fiesta flair flash fna foot fov fs fse fu gad gd gi gre gu gy haste hcc head hip hr hrct
    hu hx icu inj inv ir iv ivc ivp iso kub kv kvp la lad lat lateral ll llq lspine lt lul lung lv lymph ma mas max
    med mets mg min mip mits ml mlo mm mpr mprage mra mrcp mrn mrs mrv nec neck ncct neg neuro nos obl oblique
    onc ob op or ortho pa pca pcp pd pe pelvis pet plain pnet pos post postop pre preop prn prost proj pv ra rad
    rads recon ref rep rl rll rlq rml rt rul ruq rv sag sagittal sbrt sd se seq sft sinus sob soft spgr spi spine stat
    stealth stir supine sup surg swi sx tavi thick thin thor tia tibia tof topo tr tra trans tse tspine tte tx
    uroc uni venous ve views vibe vol vr wb wrist wo xr xray yo yrs mos wks""".split()
)

ENGLISH = frozenset(
    """a about above according across add additional after again against ago all almost along already also although
    always am among an and another any are area around as asked at available away back bad based be because become
    been before began begin behind being below best better between big black both brain bring brought but by call
    called came can cannot care carried change check clear clearly close cold come common compare compared complete
    completed consider consistent could course current currently date day days dead deep did difference different
    do does doing done down due during each early easy either else end enough even ever every exam examination
    expected fact fall fallen far fast father fell felt few field find fine first five follow followed following
    for found four free from front full further gave get give go good got great group grown had half hand hard has
    have he hear held help her here hers high him his history hold home hour hours how however hurt if important
    in increase increased indicate indicated information initial inside into is it its itself just keep kind knew
    know known large last late later least left less let letter level life light like likely line list little live
    long look looking low lower made main make many mark may me mean meant men might minute minutes month months
    more morning most mother move much must my near need never new next night nine no non nor normal not note
    noted nothing now number of off often old on once one only open or order our out over own part parts past per
    performed place plan please point poor possible present prior probably problem question quick quite ran rather
    read ready reason recent recently record related repeat repeated report request requested rest result results
    return review right rose rule run said same saw say see seen seven several severe shall she short should show
    shown side since six size slow small so some son soon stand start started status still stop stopped such sudden
    suddenly suspected sure take taken ten than that the their them then there these they thing think third this
    those three through thus time times to today together told too took total toward treated treatment tried true
    try turn two type under until up upon use used using usual usually very view visit wait walk want was water way
    we week weeks weight well went were what when where whether which while white who whole why wide will wish with
    within without woman women wood word work would write year years yes yesterday yet you young your""".split()
)

# Found in descriptions all over and in none of pydicom's tables.
DESCRIPTIONS = frozenset(
    """ankle arch attenuated barium biopsy bladder bolus breathhold bronch brachy cardiac carotid circle claudication
    colonography contrast cough coronal cystogram dizziness doppler dyspnea effusion elbow enterography eval evaluate
    evaluation fever finger fistula flow fracture gallbladder gated headache hematoma hemorrhage hepatic hernia
    infarct infection isotropic kernel kidney kidneys knee lesion localizer localiser locator lumbar lumbosacral
    mammo mammogram marrow mass mastoid metastasis metastases motion multiphase nausea nodule noncontrast orbit
    orbits pain pancreas patellar perfusion pituitary pleural pneumonia protocol pulmonary renal reformat reformatted
    routine scan scanogram screening scout seizure shoulder sharp smooth spiral standard stenosis stent stone stones
    stroke surveillance survey swelling syncope temporal thoracic thorax thyroid topogram tracker tracking trauma
    tumor tumour ultrasound urogram uterus vasc vascular ventricle vertigo vessels vomiting weighted wedge
    abdominal angio angiogram angiography arthro arthrogram arthritis calcification cancer cerebral cholecystitis
    cirrhosis craniotomy degenerative diverticulitis edema embolism emphysema endometrial hydronephrosis hyperplasia
    ischemia lymphoma lymphadenopathy melanoma myeloma nephrolithiasis neuropathy obstruction osteoarthritis
    osteoporosis pancreatitis radiculopathy resection sarcoma sclerosis scoliosis sciatica sepsis sinusitis
    tendinitis thrombosis transplant""".split()
)

# Not parts of a name, though they stand in one.
TITLES = frozenset(
    """dr drs doctor prof professor mr mrs ms miss sir frau herr mme mlle md phd msc bsc rn rt rtr do dds dmd facr
    frcr jr sr ii iii iv esq""".split()
)

_MARKS = re.compile("[\u0300-\u036f]+")
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})


def fold(text: str) -> str:
    """Fold case and accents; scripts without them stay as they are.

    >>> fold("MÜLLER-Łukasz Straße")
    'muller-lukasz strasse'
    """
    if text.isascii():
        return text.lower()
    plain = _MARKS.sub("", unicodedata.normalize("NFD", text.casefold()))
    return unicodedata.normalize("NFC", plain).translate(_LETTERS)


@cache
def ordinary() -> frozenset[str]:
    """Return the folded words that tell nothing about anybody."""
    return frozenset(word for word in _words() if word.islower()).union(
        MODALITIES, PLACEHOLDERS, MANUFACTURERS, ABBREVIATIONS, ENGLISH, DESCRIPTIONS
    )


@cache
def vocabulary() -> frozenset[str]:
    """Return the folded words that a description may hold: `ordinary()` and the eponyms."""
    return ordinary().union(word.lower() for word in _words())


@cache
def _words() -> tuple[str, ...]:
    file = resources.files("beamstop") / "data" / "vocabulary.txt"
    return tuple(file.read_text(encoding="utf-8").split())
