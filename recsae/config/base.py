"""What all sections of the config are made of, and how a config is recorded."""

from __future__ import annotations

from collections.abc import Set
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, lt=2**31)]
Share = Annotated[float, Field(gt=0, lt=1)]
Paths = Annotated[tuple[str, ...], Field(strict=False)]  # TOML has lists, and strict pydantic wants a tuple


class Section(BaseModel):
    """A part of the config: immutable, and strict about its keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    def recorded(self, *, include: Set[str] | None = None, exclude: Set[str] | None = None) -> dict[str, Any]:
        """The section as JSON values, as fingerprints, manifests and MLflow hold it.

        A renamed key is recorded under its old name (its serialization alias), so that committed results stay valid.
        `include` and `exclude` are names of fields.
        """
        return self.model_dump(
            mode="json",
            by_alias=True,
            include=None if include is None else set(include),
            exclude=None if exclude is None else set(exclude),
        )
