"""A mapping in the configuration file, as a pydantic model: what each of them has in common."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Its keys are known and of the type that is asked for, and it never changes.

    What checks a model is built when it is first asked, as the one of the whole file has those of its parts in itself:
    an agent builds a handful in place of forty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)
