"""Facts that the audit does not have: name of the data set, recipient and purpose."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from beamstop.errors import did_you_mean
from beamstop.given_files import read_given
from beamstop_pipeline.errors import ConfigurationError


class About(BaseModel):
    """The file of `--about`: a few lines of text, all optional."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    data_set: str | None = None
    recipient: str | None = None
    purpose: str | None = None
    responsible: str | None = None
    legal_basis: str | None = None


def read_about(path: Path) -> About:
    """Read the file of `--about`.

    Raises:
        ConfigurationError: it cannot be read, is not YAML with these fields, or a value is not text.
    """
    try:
        found = YAML(typ="safe").load(read_given(path).decode())
    except OSError as error:
        raise ConfigurationError(f"--about {path}: {error.strerror}; name a YAML file") from None
    except (YAMLError, ValueError, RecursionError):
        raise ConfigurationError(f"--about {path}: it is no YAML; write lines such as purpose: …") from None
    try:
        return About.model_validate({} if found is None else found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        names = list(About.model_fields)
        if field and field not in names:
            why = f"there is no field {field}{did_you_mean(field, names)}"
        elif field:
            why = f"{field} must be text"
        else:
            why = "it must be lines of field: text"
        raise ConfigurationError(f"--about {path}: {why}; fields are {', '.join(names)}") from None
