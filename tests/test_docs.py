"""What the documentation says that can be checked."""

from pathlib import Path

import pyarrow as pa
import pytest

from beamstop.audit import CHANGES, CROSSWALK, INSTANCES
from beamstop.recipe import recipe_names

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.mark.parametrize("schema", [INSTANCES, CHANGES, CROSSWALK], ids=["instances", "changes", "crosswalk"])
def test_outputs_describes_every_column(schema: pa.Schema) -> None:
    lines = [f"| `{field.name}` | {field.type} | {field.metadata[b'comment'].decode()} |" for field in schema]
    table = "\n".join(["| column | type | what it says |", "|---|---|---|", *lines])
    assert table in (DOCS / "outputs.md").read_text()


def test_recipe_names_every_recipe_that_ships() -> None:
    text = (DOCS / "recipe.md").read_text()
    assert [name for name in recipe_names() if f"| `{name}` |" not in text] == []
