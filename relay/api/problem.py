"""How errors are told (RFC 9457); ``docs/errors.md`` lists every code and number."""

from typing import Annotated

from msgspec import Meta, Struct


class Fault(Struct, frozen=True, kw_only=True):
    """One thing wrong with a body, and where: a JSON Pointer (RFC 6901)."""

    pointer: str
    detail: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong. Programs decide by ``code`` or ``number``, which never change; ``detail`` is for people.

    ``aliases`` are the numbers that other vendors' players and platforms know it by.
    """

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    code: str
    number: int
    detail: str
    instance: str
    aliases: dict[str, int] = {}
    errors: list[Fault] = []
    retry_after_ms: int | None = None
