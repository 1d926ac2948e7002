"""Nothing about a run changes a byte of what it writes, nor does the library write others."""

import pytest

from beamstop import deidentify_bytes, load_recipe
from beamstop.testing import as_bytes, make_instance

RECIPE = """
attributes: {PatientName: {value: 匿名^患者}, StudyDescription: K}
insert: {InstitutionName: 東京大学病院}
"""


@pytest.mark.workers
def test_detail_of_the_audit_and_number_of_workers_change_no_byte(run, tmp_path, key):
    archive, recipe = tmp_path / "archive", tmp_path / "ours.yaml"
    archive.mkdir()
    recipe.write_text(RECIPE)
    sources = []
    for number, charset in enumerate(("ISO_IR 100", "ISO_IR 192", "GB18030", "ISO_IR 6")):
        sources.append(
            as_bytes(
                make_instance(
                    SOPInstanceUID=f"1.2.3.4.5.{number}",
                    SpecificCharacterSet=charset,
                    StudyDescription="Schadel" if number else "Schädel",
                )
            )
        )
        (archive / f"{number}.dcm").write_bytes(sources[-1])
    first = run(archive, recipe=str(recipe))
    assert first.code == 0
    trees = [
        run(
            archive, to=f"{number}", workers=workers, recipe=str(recipe), more=(f"--audit-detail={detail}",)
        ).tree
        for number, (workers, detail) in enumerate(
            [(1, "instances"), (2, "changes"), (2, "instances")], start=2
        )
    ]
    assert trees == [first.tree] * 3
    written = {path.read_bytes() for path in first.output.rglob("*.dcm")}
    assert written == {deidentify_bytes(data, load_recipe(recipe), key) for data in sources}
