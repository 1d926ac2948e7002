"""Which lines of a picture are a device's or a radiologist's own, and which may be somebody's."""

import pytest

from beamstop.text.device_lines import why_harmless

MARKERS = {"r", "l", "cc", "mlo", "ap", "pa"}


def why(line: str) -> str:
    return why_harmless(line, MARKERS.__contains__)


@pytest.mark.parametrize(
    "line",
    [
        "PSV 84.2 cm/s",
        "EDV: 21,0 cm/s",
        "120 kV",
        "120kV 210mA",
        "kV 120 mA 300",
        "30 kV 80 mAs",
        "PRF 5000 Hz",
        "65 dB",
        "Depth 12.4 cm",
        "Tiefe 12,4 cm",
        "Épaisseur 3,0 mm",
        "Głębokość 12,4 cm",
        "MI 0.8  TIS 0.5",
        "W 400 L 40",
        "WW350WL40",
        "SP -125.5",
        "-58.4 cm/s",
        "Frame 12/64",
        "Im: 45/120",
        "FoV 230*230",
        "512 x 512",
        "0.8 W/kg",
        "Area 12.5 cm²",
        "DAP 1.2 dGycm²",
        "Zoom 1.5x",
        "1 Dist 3.27 cm",
        "GA 19w4d",
        "LAO 30 CRAN 20",
        "Max PG 45 mmHg",
        "Map F",
        "P Low",
        "W/Rh",
        "C5-1",
        "b1000",
        "T2 TSE",
        "Kernel B30f",
        "t2_tse_tra",
        "TR 12000",
        "Time 2.5 s",
        "Persist Med",
        "TIS<0.4 MI=0.8 AO=100%",
        "Dyn R 58",
        "ABDOMEN C+",
        "S/D 3.9",
        "20dB/DR60",
        "2D-100%",
        "6C1 HD",
        "MapE/ST2",
        "-58.4",
        "-5 cm/s",
        "<5.8 cm/s",
        "-5.8",
        "+0,75",
    ],
)
def test_settings_and_measures_are_a_devices_own(line: str) -> None:
    assert why(line) == "device_setting"


@pytest.mark.parametrize(
    "line", ["Tl 2200", "T1 2200 ms", "Ml 0.8", "RI O.74", "TISo.O", "TlS 0.5 Ml 0.8", "lmg 45"]
)
def test_settings_are_known_by_their_looks(line: str) -> None:
    assert why(line) == "device_setting"


@pytest.mark.parametrize(
    "line", ["LIVER", "RT KIDNEY", "Ventricle", "RT HAND", "LUNG", "Kniegelenk", "WITHOUT FAT"]
)
def test_words_of_medicine_and_sides_stay(line: str) -> None:
    assert why(line) == "medical_word"


@pytest.mark.parametrize("line", ["R", "R CC", "l mlo", "A", "AH"])
def test_markers_and_directions_stay(line: str) -> None:
    assert why(line) == "marker"


@pytest.mark.parametrize(
    "line",
    [
        "MARROWBY TOBIAS",
        "120 kV SMITH",
        "SMITH 120 kV",
        "K. Lindqvist",
        "T. Ashgrove",
        "Nowak J.",
        "Zeng Wei",
        "OBI",
        "BW",
        "JS",
        "Dr Spleen",
        "Ms Spleen",
        "Rose",
        "Brown",
        "MAY",
        "Klein",
        "Müller",
        "Mueller",
        "Petra Lang",
        "Max",
        "M",
        "Wilson",
        "Neumann",
        "J. Stringer",
        "STRINGER, L",
        "Stringer J",
    ],
)
def test_names_and_initials_may_not_stay_whatever_stands_beside_them(line: str) -> None:
    assert why(line) == "unknown"


@pytest.mark.parametrize(
    "line",
    [
        "84.2",
        "1948",
        "12/64",
        "08:42",
        "23.06.1948",
        "4711-0815",
        "77120",
        "00923881",
        "45 Y",
        "1956 M",
        "12 34 56",
        "01632 960331",
    ],
)
def test_bare_numbers_may_not_stay(line: str) -> None:
    assert why(line) == "number"


@pytest.mark.parametrize(
    "line",
    ["PL-77120", "TQ-771204", "SP12345", "P001", "P123", "K123", "A12345", "M 45", "F 63", "SI 1948-06-23"],
)
def test_somebodys_number_is_no_setting(line: str) -> None:
    assert why(line) in ("number", "unknown")


def test_what_has_no_word_in_it_is_unread() -> None:
    assert why("") == why(" -:. ") == "unread"
