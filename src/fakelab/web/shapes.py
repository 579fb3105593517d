"""What goes over the REST interface: its bodies, answers and problems, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from fakelab.web.problems import MEDIA_TYPE as PROBLEM

Id = Annotated[str, Path(pattern="^[0-9a-z]{16}$", description="The identifier of an analysis.", examples=["0" * 16])]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for code, text in {
        400: "The request cannot be used",
        401: "Nobody is signed in, and no key was sent",
        403: "Whoever asks may not do this",
        404: "There is none",
        405: "No such method here",
        408: "Nothing came for a minute",
        409: "It does not fit the state that it is in",
        413: "Too large",
        415: "Not a kind of body or file that is read",
        422: "The request does not fit its description",
        429: "No room: Retry-After says when to come back",
    }.items()
}


class Problem(BaseModel):
    """What went wrong, in the words of RFC 9457."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str


class Choices(BaseModel):
    """What may be chosen for an analysis; what is left out is as the server has it."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = Field(None, max_length=64)
    finder: str | None = Field(None, max_length=64)
    thorough: bool | None = None
    every_s: float | None = Field(None, gt=0, le=86_400)
    prior: float | None = Field(None, gt=0, lt=1)
    generated: bool | None = Field(None, description="Judge whether a whole photo was generated: experimental.")
    lip_sync: bool | None = Field(None, description="Compare lips with a video's sound: experimental, in no verdict.")


class NewAnalysis(Choices):
    """An analysis of an upload that is whole, or of a link."""

    upload: str | None = Field(None, max_length=64, description="The identifier of a finished upload.")
    url: str | None = Field(None, max_length=4096, description="A link; needs the extra 'url'.")
    path: str | None = Field(
        None, max_length=4096, description="A file or folder of the server's machine; in local mode alone."
    )
    webhook: str | None = Field(None, max_length=2048, description="Told when it is over, if the server allows it.")


class Analysis(BaseModel):
    """An analysis: how far it is, and its result once there is one."""

    id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    name: str
    stage: str | None = None
    done: int | None = None
    total: int | None = None
    position: Annotated[int | None, Field(description="How many wait before it.")] = None
    sha256: str | None = None
    created: str | None = None
    ended: str | None = None
    error: dict[str, str] | None = None
    level: str | None = None
    p_fake: float | None = None
    sentence: str | None = None
    tags: list[str] = []
    conclusion: str | None = None
    known: Annotated[bool, Field(description="Whether the answer was in this desk's record already.")] = False
    links: dict[str, str] = {}
    result: Annotated[dict[str, Any] | None, Field(description="The document, in the schema fakelab.analysis/1.")] = (
        None
    )


class Analyses(BaseModel):
    """A page of analyses, and where the next one begins."""

    analyses: list[Analysis]
    cursor: str | None = None
    total: int


class NewReview(BaseModel):
    """An analyst's own conclusion, kept beside the machine's result."""

    model_config = ConfigDict(extra="forbid")
    conclusion: str = Field(min_length=1, max_length=500)
    notes: str = Field("", max_length=20_000)


class Review(NewReview):
    """A conclusion, with who wrote it, and when."""

    at: str
    actor: str


class Tags(BaseModel):
    """The words put on an analysis, all of them."""

    model_config = ConfigDict(extra="forbid")
    tags: list[Annotated[str, Field(min_length=1, max_length=60)]] = Field(max_length=30)
