"""The report as a page: turns figures into sentences, tables and charts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydicom.datadict import dictionary_description
from pydicom.uid import UID

from beamstop.audit import Outcome
from beamstop.rules.profile import CLEAN_FACES, CLEAN_PIXEL_DATA, METHOD_CODES, METHOD_MEANINGS
from beamstop_pipeline.report.about import About
from beamstop_pipeline.report.cells import Cells
from beamstop_pipeline.report.certificate import certify
from beamstop_pipeline.report.charts import COLOURS, PARTS, columns, stacked
from beamstop_pipeline.report.figures import PARTS as TIMES
from beamstop_pipeline.report.figures import DeviceSeen, Figures, Rows, differences
from beamstop_pipeline.report.reasons import REMEDIES
from beamstop_pipeline.report.recipe_sentences import options_with_codes, own_entries
from beamstop_pipeline.report.risk import SMALLEST, Risk
from beamstop_pipeline.report.verdicts import Verdicts

_NONE = "not known"
_TIME_NAMES = dict(
    zip(TIMES, ("read and parse", "hide text", "apply the recipe", "search for leaks", "write"), strict=True)
)
_SHARES = {"half of the instances": 0.5, "nine of ten": 0.9, "99 of 100": 0.99}
_MOST = 12  # kinds in a chart or table; all others are added up


@dataclass(frozen=True)
class Table:
    """A table of the page; numbers are aligned right."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Chart:
    """A chart, with a table of the same figures."""

    svg: Markup
    table: Table


def render_report(
    figures: Figures, about: About | None = None, reviews: Sequence[Verdicts] = (), risk: Risk | None = None
) -> str:
    """Return the page: HTML that loads nothing and runs no script.

    Args:
        figures: of the audit.
        about: of `--about`.
        reviews: of `--verdicts`.
        risk: of the data that stay; None without a table of attributes.
    """
    certificate = certify(figures, about or About(), reviews, list(risk.sentences()) if risk else [])
    return (
        environment()
        .get_template("report.html")
        .render(
            certificate=certificate,
            risk=risk,
            risk_tables=_risk_tables(risk) if risk else {},
            smallest=SMALLEST,
            **_said(figures),
        )
    )


def _risk_tables(risk: Risk) -> dict[str, Table]:
    known = ["known", "different values", "smallest group", f"patients in groups under {SMALLEST}"]
    return {
        "sizes": Table(
            "Patients by the size of their group", ["patients in a group", "groups", "patients"], risk.sizes
        ),
        "alone": Table("What may be known, each on its own", known, risk.alone),
        "groups": Table(
            f"The largest groups of at least {SMALLEST}", ["they share", "patients"], risk.groups
        ),
    }


def environment() -> Environment:
    """Return the environment of the templates, which escapes all values."""
    made = Environment(
        loader=PackageLoader("beamstop_pipeline.report", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=number, size=size, when=when, duration=duration, clean_path=clean_path)
    return made


def number(value: float | None) -> str:
    """Return a number with separated thousands; a float with one decimal.

    >>> number(1234567), number(8123.46), number(None)
    ('1,234,567', '8,123.5', '–')
    """
    return "–" if value is None else f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def clean_path(path: str) -> str:
    """Return a path below OUTPUT with an explanation of NONE.

    >>> clean_path("P/S/R/1.dcm"), clean_path("NONE/NONE/NONE/1.dcm")
    ('P/S/R/1.dcm', 'NONE/NONE/NONE/1.dcm (NONE stands for an identifier that the file lacks)')
    """
    lacks = "NONE" in path.split("/")[:-1]
    return f"{path} (NONE stands for an identifier that the file lacks)" if lacks else path


def size(count: float) -> str:
    """Return bytes for people.

    >>> size(0), size(2353204), size(5_000_000_000_000)
    ('0 bytes', '2.4 MB', '5.0 TB')
    """
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count:.0f} bytes"


def when(moment: str | None) -> str:
    """Return a time for people.

    >>> when("2026-11-25T15:41:29.974+00:00"), when(None)
    ('25 November 2026, 15:41 UTC', 'not known')
    """
    try:
        return datetime.fromisoformat(moment or "").strftime("%-d %B %Y, %H:%M UTC")
    except ValueError:
        return _NONE


def duration(seconds: float) -> str:
    """Return a time span for people.

    >>> duration(0.0123), duration(59.5), duration(7384)
    ('12.3 ms', '59.5 s', '2 h 3 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _said(figures: Figures) -> dict[str, Any]:
    run, standing, record = figures.run, figures.standing, figures.record
    clean = _of(standing, Outcome.WRITTEN)
    return {
        "record": record,
        "runs_in_all": len(figures.records),
        "outcomes": standing.outcomes,
        "sources": sum(standing.outcomes.values()),
        "run_outcomes": run.outcomes,
        "doubts": figures.doubts,
        "unfinished": figures.unfinished,
        "standing": standing,
        "asked": _asked(record),
        "look": _look(standing),
        "residue": standing.residue,
        "disputed": figures.disputed,
        "faint": _faint(clean),
        "faces": _faces(clean),
        "new_devices": [it for it in figures.devices if it.is_new],
        "devices": _devices(figures.devices),
        "by_modality": _outcome_chart(standing),
        "reasons": _reasons(standing),
        "classes": _kinds(standing, "sop_class_uid", "SOP classes", "SOP class"),
        "syntaxes": _kinds(standing, "transfer_syntax_uid", "Transfer syntaxes", "transfer syntax"),
        "recipes": _recipes(figures),
        "text": _text(clean, figures.has_changes),
        "not_looked_at": _not_looked_at(clean),
        "why": Table("Text boxes by what decided about them", ["code", "boxes"], list(figures.why.items())),
        "has_changes": figures.has_changes,
        "elements": _elements(clean),
        "rules": Table(
            "Rules that acted most often",
            ["rule set and line", "attribute", "action", "elements"],
            [(rule.rule, _attribute(rule.rule), rule.action, rule.elements) for rule in figures.rules],
        ),
        "methods": _methods(clean),
        "speed": _speed(run, record),
        "before": _before(figures),
        "runs": _runs(figures.records),
        "verified": figures.verified,
        "signed": figures.signed,
        "meanings": METHOD_MEANINGS,
    }


def _faces(written: Cells) -> Table | None:
    """Return the table of clean files by modality and face; None if there are no such files."""
    code = METHOD_CODES[CLEAN_FACES]
    proved = written.that(lambda cell: code in cell["methods"].split()).sums("modality")
    left, removed = (written.sums("modality", name) for name in ("face_may_show", "face_removed"))
    kinds = [name for name in written.sums("modality") if left[name] or proved.get(name)]
    rows = [(name or _NONE, left[name], removed[name], proved.get(name, 0) - removed[name]) for name in kinds]
    head = ["modality", "may show, left", "removed", "searched, none shows"]
    return Table("Clean files by what is known about a face", head, rows) if rows else None


def _recipes(figures: Figures) -> Table:
    """Return the table of clean files by recipe."""
    counted = _of(figures.standing, Outcome.WRITTEN).sums("recipe_digest")
    rows = [(figures.recipes.get(digest, _NONE), digest, number) for digest, number in counted.items()]
    return Table("Clean files by the recipe that made them", ["recipe", "digest", "clean files"], rows)


def _attribute(rule: str) -> str:
    """Return the name of a rule's attribute; empty if the rule is not for a single one.

    >>> _attribute("basic:00081030"), _attribute("basic:PRIVATE")
    ('Study Description', '')
    """
    line = rule.rpartition(":")[2]
    try:
        return dictionary_description(int(line, 16)) if len(line) == _TAG_DIGITS else ""
    except (KeyError, ValueError):
        return ""


_TAG_DIGITS = 8


def _of(rows: Rows, outcome: Outcome) -> Cells:
    return rows.cells.where(outcome=str(outcome))


def _asked(record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    recipe = record.get("recipe", {})
    options = recipe.get("options")
    text, own = recipe.get("text", {}), own_entries(recipe)
    hides = CLEAN_PIXEL_DATA in (options or ())
    what_is_hidden = {"all": "everything but what may be kept", "identifying": "what may identify"}
    return [
        ("Recipe", recipe.get("name", _NONE)),
        ("Profile", {"basic": "Basic Application Confidentiality Profile"}.get(recipe.get("profile"), _NONE)),
        ("Options", options_with_codes(recipe) if options is not None else _NONE),
        ("Text in pixels", what_is_hidden.get(text.get("hide"), _NONE) if hides else "not searched for"),
        ("Of its own", ", ".join(own) or "nothing: as it ships" if options is not None else _NONE),
        ("Faces", recipe.get("faces") or "left as they are"),
        (
            "Attributes that no rule names",
            {"keep": "kept", "remove": "removed"}.get(recipe.get("unlisted"), _NONE),
        ),
        ("Recipe digest", recipe.get("digest", _NONE)),
        ("Edition of DICOM", record.get("standard", _NONE)),
        ("Text detector", record.get("engines") or "none was needed"),
    ]


def _look(run: Rows) -> list[dict[str, Any]]:
    """Return the kinds of quarantined and failed sources, most first, with their remedies."""

    def count(kind: tuple[str, str, str]) -> int:
        outcome, reason, modality = kind
        return int(run.cells.where(outcome=outcome, reason=reason, modality=modality).total("n"))

    return [
        {
            "outcome": outcome,
            "reason": reason,
            "modality": modality or _NONE,
            "count": count((outcome, reason, modality)),
            "remedy": REMEDIES.get(reason, "See docs/reasons.md."),
            "examples": examples,
        }
        for (outcome, reason, modality), examples in sorted(
            run.aside.items(), key=lambda item: -count(item[0])
        )
    ]


def _outcome_chart(run: Rows) -> Chart:
    bars = _most({name: cells.sums("outcome") for name, cells in run.cells.by("modality").items()})
    title = "Sources by modality and outcome"
    return Chart(
        Markup(stacked("outcomes", title, bars, COLOURS, "sources")),  # noqa: S704  drawn by matplotlib, which escapes
        Table(
            title,
            ["modality", *COLOURS, "all"],
            [
                (name, *(parts.get(outcome, 0) for outcome in COLOURS), sum(parts.values()))
                for name, parts in bars.items()
            ],
        ),
    )


def _most(counted: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Return the largest kinds by name, and all others added up."""
    ordered = sorted(counted.items(), key=lambda kind: -sum(kind[1].values()))
    most = {name or _NONE: dict(parts) for name, parts in ordered}
    if len(most) <= _MOST:
        return most
    others: Counter[str] = Counter()
    for name in list(most)[_MOST - 1 :]:
        others.update(most.pop(name))
    return {**most, "others": dict(others)}


def _reasons(run: Rows) -> Table:
    rows = [
        (outcome, reason, number)
        for outcome in COLOURS
        for reason, number in run.cells.where(outcome=outcome).sums("reason").items()
    ]
    return Table(
        "Sources by outcome and reason",
        ["outcome", "reason", "sources", "what to do"],
        [(outcome, reason, number, REMEDIES.get(reason, "")) for outcome, reason, number in rows],
    )


def _kinds(run: Rows, column: str, caption: str, head: str) -> Table:
    kinds = run.cells.by(lambda cell: _uid_name(cell[column]))
    counted = _most({kind: cells.sums("outcome") for kind, cells in kinds.items()})
    rows = [(kind, sum(parts.values()), parts.get("written", 0)) for kind, parts in counted.items()]
    return Table(caption, [head, "sources", "written"], rows)


def _uid_name(uid: str) -> str:
    return UID(uid).name if uid else ""


def _faint(written: Cells) -> list[tuple[str, int]]:
    """Return modality and number of instances with faint text, most first."""
    counted = written.sums("modality", "with_faint")
    return [(name or _NONE, number) for name, number in counted.items() if number]


def _devices(devices: Sequence[DeviceSeen]) -> Chart | None:
    if not any(it.name for it in devices):
        return None
    shown = sorted(devices, key=lambda it: (-it.hidden, -it.written, it.name))[:_MOST]
    bars = {
        it.name or "others": {"hidden": float(it.hidden), "kept": float(it.kept)}
        for it in shown
        if it.hidden or it.kept
    }
    colours = {"hidden": PARTS[0], "kept": PARTS[2]}
    drawn = stacked("devices", "Text boxes by device", bars, colours, "text boxes by device") if bars else ""
    head = ["device", "", "instances", "with text", "hidden", "kept"]
    rows = [
        (it.name or "others, or no name", "new" if it.is_new else "", *it[2:6])
        for it in sorted(devices, key=lambda it: (not it.name, -it.written, it.name))
    ]
    return Chart(
        Markup(drawn),  # noqa: S704
        Table("Devices that clean files name", head, rows),
    )


def _text(written: Cells, has_changes: bool) -> Chart | None:
    sums = [
        "n",
        "frames_examined",
        "with_text",
        "text_boxes_hidden",
        "text_boxes_faint",
        "text_boxes_kept",
        "text_residue",
    ]
    kinds = written.by("modality")
    counted = {
        name or _NONE: {it: int(kinds[name].total(it)) for it in sums}
        for name in written.sums("modality", "text_boxes_hidden")
        if kinds[name].total("frames_examined")
    }
    if not counted:
        return None
    bars = {
        name: {
            "hidden": float(row["text_boxes_hidden"] - row["text_boxes_faint"]),
            "hidden, faint": float(row["text_boxes_faint"]),
            "kept": float(row["text_boxes_kept"]),
        }
        for name, row in list(counted.items())[:_MOST]
    }
    title = "Text boxes by modality"
    return Chart(
        Markup(stacked("text", title, bars, _BOXES, "text boxes")),  # noqa: S704
        Table(
            "Text in the pixels of written instances",
            [
                "modality",
                "instances",
                "frames searched",
                "instances with text",
                "hidden",
                "of these faint",
                "kept",
                "seen again",
            ],
            [
                (
                    name,
                    *(row[it] if has_changes or it != "text_boxes_faint" else None for it in sums),
                )
                for name, row in counted.items()
            ],
        ),
    )


_BOXES = {"hidden": PARTS[0], "hidden, faint": PARTS[4], "kept": PARTS[2]}


def _not_looked_at(written: Cells) -> Table:
    """Return the table of instances that do not claim Clean Pixel Data, by modality."""
    code = METHOD_CODES[CLEAN_PIXEL_DATA]
    without = written.that(lambda cell: code not in cell["methods"].split())
    return Table(
        "Written without a search of the pixels",
        ["modality", "instances"],
        [(name or _NONE, number) for name, number in without.sums("modality").items()],
    )


_ELEMENTS = {
    "identifiers_checked": "identifying values searched for in finished files",
    "leaks_found": "of these found again in a file that was written",
    "elements_removed": "elements removed",
    "elements_emptied": "elements emptied",
    "elements_replaced": "elements given another value",
    "elements_kept": "elements kept",
    "uids_remapped": "UIDs replaced",
    "dates_shifted": "dates moved",
}


def _elements(written: Cells) -> Table:
    rows = [(said, int(written.total(name))) for name, said in _ELEMENTS.items()]
    return Table("What was done to attributes of written instances", ["", "number"], rows)


def _methods(written: Cells) -> Table:
    counted: Counter[str] = Counter()
    for methods, number in written.sums("methods").items():
        for code in methods.split():
            counted[code] += number
    return Table(
        "De-identification methods that clean files claim (CID 7050)",
        ["code", "meaning", "instances"],
        [(code, METHOD_MEANINGS.get(code, _NONE), n) for code, n in sorted(counted.items())],
    )


def _speed(run: Rows, record: Mapping[str, Any]) -> dict[str, Any]:
    kinds = sorted(run.cells.by("modality").items(), key=lambda kind: -_took(kind[1]))[:_MOST]
    means = {
        name or _NONE: {
            said: cells.total(part) / cells.total("n") / 1000 for part, said in _TIME_NAMES.items()
        }
        for name, cells in kinds
    }
    means = dict(sorted(means.items(), key=lambda bar: -sum(bar[1].values())))
    title = "Time of a worker for one source, on average, by modality"
    colours = dict(zip(_TIME_NAMES.values(), PARTS, strict=True))
    sources, seconds = sum(run.outcomes.values()), float(record.get("seconds") or 0)
    return {
        "chart": Chart(
            Markup(stacked("speed", title, means, colours, "seconds for one source")),  # noqa: S704
            Table(
                f"{title}, in milliseconds",
                ["modality", *colours, "all"],
                [
                    (name, *(1000 * it for it in (*parts.values(), sum(parts.values()))))
                    for name, parts in means.items()
                ],
            ),
        ),
        "per_second": sources / seconds if seconds else None,
        "shares": [(said, duration(run.percentile(share) / 1000)) for said, share in _SHARES.items()],
        "worker_seconds": _took(run.cells) / 1000,
    }


def _took(cells: Cells) -> float:
    return float(sum(cells.total(part) for part in TIMES))


def _before(figures: Figures) -> dict[str, Any] | None:
    if figures.fate is None:
        return None
    then, now = figures.records[-2:]
    fate, said = figures.fate, lambda record: record.get("counts", {})
    names = ["sources", *COLOURS, "skipped", "text_boxes_hidden", "bytes_in", "bytes_out"]
    counts = [(name.replace("_", " "), said(then).get(name), said(now).get(name)) for name in names]
    moved = [(a, b, n) for (a, b), n in fate.moves.items() if a != b]
    return {
        "run_id": then["run_id"],
        "started": then.get("started", ""),
        "settings": Table("Settings that differ", ["", "before", "now"], differences(then, now)),
        "counts": Table("Counts", ["", "before", "now"], counts),
        "same": sum(n for (a, b), n in fate.moves.items() if a == b),
        "moved": Table("Sources whose outcome changed", ["before", "now", "sources"], moved),
        "new": fate.new,
        "unseen": fate.unseen,
    }


def _runs(records: Sequence[Mapping[str, Any]]) -> Chart | None:
    if len(records) < 2:
        return None
    shown = records[-_MOST:]
    names = ["sources", *COLOURS, "skipped"]
    title = "Sources written, run by run"
    labels = [str(record.get("started", ""))[:16].replace("T", "\n") for record in shown]
    heights = [int(record.get("counts", {}).get("written", 0)) for record in shown]
    return Chart(
        Markup(columns("runs", title, _unlike(labels), heights, "start of the run, UTC")),  # noqa: S704
        Table(
            f"The last {len(shown)} runs" if len(records) > _MOST else "All runs",
            ["run", "recipe", *names],
            [
                (
                    record["run_id"],
                    _recipe_of(record),
                    *(record.get("counts", {}).get(name) for name in names),
                )
                for record in shown
            ],
        ),
    )


def _recipe_of(record: Mapping[str, Any]) -> str:
    recipe = record.get("recipe", {})
    return f"{recipe.get('name', _NONE)} {recipe.get('digest', '')[:8]}"


def _unlike(labels: Iterable[str]) -> list[str]:
    """Make labels unique, so that no two bars are merged."""
    seen: dict[str, int] = {}
    result = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        result.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return result
