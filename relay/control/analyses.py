"""``/api/v1/drm/watermark/analyze`` and ``…/analyses``: suspected copies, and what they say of who leaked them."""

import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from relay.api.analyses import Analysis, AnalysisFault, AnalysisId, AnalysisPage, AnalysisReport, UploadForm
from relay.background import in_background
from relay.codes import CODES
from relay.control.errors import BodyTooLargeError, MediaTypeError, NotFoundError
from relay.control.idempotency import Reply, once
from relay.control.notes import NOTES, Notes
from relay.control.pages import PageQuery, cursor_of, place_of
from relay.control.requests import CALLER, actor_of, json_answer, read_query
from relay.control.uploads import VIDEO, UploadQuery, check_kind, receive
from relay.node import NODE, Node
from relay.operation import FORM, IDEMPOTENCY_KEY, Media, Operation
from relay.roles import ANALYSTS, Role
from relay.watermark.analyse.errors import LeakFormatError, LeakSizeError
from relay.watermark.jobs.errors import (
    AnalysesBusyError,
    AnalysisPendingError,
    AnalysisUnavailableError,
    AssetUnknownError,
)
from relay.watermark.jobs.job import Fault, Job, State
from relay.watermark.jobs.report import page_of
from relay.watermark.jobs.result import AnalysisResult

PATH: Final = "/api/v1/drm/watermark/analyses"
_ID = re.compile(r"[0-9a-f]{32}")
_names: msgspec.msgpack.Decoder[str] = msgspec.msgpack.Decoder(Annotated[str, Meta(max_length=32)])
_PAGE_HEADERS: Final = {
    "Cache-Control": "no-store",
    # It holds what an upload made of itself, and needs nothing from anywhere.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
    "X-Content-Type-Options": "nosniff",
}


async def keep_analysing(app: web.Application) -> AsyncIterator[None]:
    """Work on what was uploaded while the application lives."""
    async with in_background(app[NODE].analyses.run(_noting(app[NOTES]))):
        yield


async def post_analyze(request: web.Request) -> web.Response:
    """Upload a suspected copy, to find out whose session it was recorded from.

    The answer tells of the analysis as it begins; ask for it again by its id. Members of the form, or of the query,
    may say which asset it is of.
    """
    node = request.app[NODE]
    check_kind(request)
    node.analyses.check()
    # Here already where it can be: a mistaken name need not wait for gigabytes.
    await node.analyses.check_asset(read_query(request, UploadQuery).asset)
    async with node.analyses.receiving(request.content_length) as received:
        said = await receive(request, received)
        await node.analyses.check_asset(said.asset)
        caller = request[CALLER]

        async def act() -> Reply:
            job = await node.analyses.add(received, caller.key.name, actor_of(request), said.asset, said.note)
            effect = {"id": job.id, "asset": job.asset, "size": job.size, "sha256": job.digest, "note": job.note}
            request.app[NOTES].audit(job.actor, "watermark.analyses.post", effect)
            return Reply.json(_shown(node, job), 202, location=f"{PATH}/{job.id}")

        # The same upload comes with another boundary in its media type each time.
        same = msgspec.msgpack.encode((received.digest, said.asset, said.note))
        return await once(request, same, act, media_type=FORM)


async def get_analyses(request: web.Request) -> web.Response:
    """Analyses of this machine, the latest first: all, or for a watermark vendor those that it ordered."""
    node, query = request.app[NODE], read_query(request, PageQuery)
    before = place_of(query.cursor, _names)
    found = [job for job in reversed(await node.analyses.jobs()) if _may_see(request, job)]
    found = [job for job in found if before is None or job.id < before]
    page = found[: query.limit]
    more = cursor_of(page[-1].id) if len(found) > query.limit else None
    return json_answer(AnalysisPage(analyses=[_shown(node, job) for job in page], next=more))


async def get_analysis(request: web.Request) -> web.Response:
    """How far an analysis is, and what came of it. Who the viewers are is told to admins alone, and put down."""
    node, job = request.app[NODE], await _find(request)
    return json_answer(_shown(node, job, await _result_for(request, job, "watermark.analyses.get")))


async def get_report(request: web.Request) -> web.Response:
    """The evidence as a page to read and to print, complete in itself. Names viewers to admins alone."""
    node, (job, result) = request.app[NODE], await _done(request)
    page = page_of(job, result, await node.analyses.pictures(job), node.config.watermark.analysis.false_accusation)
    return web.Response(text=page, content_type="text/html", headers=_PAGE_HEADERS)


async def get_report_json(request: web.Request) -> web.Response:
    """The evidence for programs, complete in itself, with its pictures. Names viewers to admins alone."""
    node, (job, result) = request.app[NODE], await _done(request)
    return json_answer(AnalysisReport(analysis=_shown(node, job, result), pictures=await node.analyses.pictures(job)))


async def delete_analysis(request: web.Request) -> web.Response:
    """Erase an analysis with all that came of it; one that is under way ends."""
    node, job = request.app[NODE], await _find(request)
    if not await node.analyses.erase(job):
        raise NotFoundError("it is erased already")
    request.app[NOTES].audit(actor_of(request), "watermark.analyses.delete", {"id": job.id, "state": job.state})
    return web.Response(status=204, headers={"Cache-Control": "no-store"})


def _noting(notes: Notes) -> Callable[[Job, AnalysisResult | None], None]:
    def over(job: Job, result: AnalysisResult | None) -> None:
        effect: dict[str, object] = {"id": job.id, "state": job.state}
        if job.fault:
            effect["error"] = job.fault.code
        if result:
            named = [match.watermark_id for one in result.findings for match in one.matches]
            effect |= {"status": result.status, "asset": result.asset, "watermarks": named}
        notes.audit(job.actor, "watermark.analyses.over", effect)

    return over


def _may_see(request: web.Request, job: Job) -> bool:
    """A vendor sees what it ordered itself."""
    key = request[CALLER].key
    return key.role is Role.ADMIN or job.key == key.name


async def _find(request: web.Request) -> Job:
    name = request.match_info["id"]
    job = await request.app[NODE].analyses.find(name) if _ID.fullmatch(name) else None
    if job is None or not _may_see(request, job):
        raise NotFoundError("no such analysis is kept on this machine")
    return job


async def _done(request: web.Request) -> tuple[Job, AnalysisResult]:
    job = await _find(request)
    result = await _result_for(request, job, "watermark.analyses.report")
    if result is None:
        raise AnalysisPendingError(f"the analysis is {job.state}; there is a report of one that is done")
    return job, result


async def _result_for(request: web.Request, job: Job, what: str) -> AnalysisResult | None:
    """What came of it, as the caller may read it."""
    result = await request.app[NODE].analyses.result(job) if job.state is State.DONE else None
    if result is None or request[CALLER].key.role is not Role.ADMIN:
        return result and result.pseudonymous()
    if result.names_sessions:
        request.app[NOTES].audit(actor_of(request), what, {"id": job.id, "identities": True})
    return result


def _told(fault: Fault) -> AnalysisFault:
    return AnalysisFault(code=fault.code, number=CODES[fault.code].number, detail=fault.detail)


def _shown(node: Node, job: Job, result: AnalysisResult | None = None) -> Analysis:
    kept_s = node.config.watermark.analysis.retention.seconds
    fault = job.fault
    return Analysis(
        id=job.id,
        state=job.state,
        progress=job.share,
        step=job.step,
        asset=job.asset,
        note=job.note,
        ordered_by=job.actor,
        size=job.size,
        digest=job.digest,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=None if job.finished_at is None else job.finished_at + kept_s,
        error=_told(fault) if fault else None,
        result=result,
    )


_row = partial(Operation, tag="Watermark", roles=ANALYSTS)
_one = partial(_row, path=f"{PATH}/{{id}}", path_types={"id": AnalysisId}, errors=(NotFoundError,))
_report = partial(_row, method="GET", path_types={"id": AnalysisId}, errors=(NotFoundError, AnalysisPendingError))
OPERATIONS = (
    _row(
        method="POST",
        path="/api/v1/drm/watermark/analyze",
        handler=post_analyze,
        body=UploadForm,
        accepts=(FORM, VIDEO),
        query=UploadQuery,
        headers=(IDEMPOTENCY_KEY,),
        answers={202: Analysis},
        errors=(
            MediaTypeError,
            BodyTooLargeError,
            LeakSizeError,
            LeakFormatError,
            AssetUnknownError,
            AnalysisUnavailableError,
            AnalysesBusyError,
        ),
    ),
    _row(method="GET", path=PATH, handler=get_analyses, query=PageQuery, answers={200: AnalysisPage}),
    _one(method="GET", handler=get_analysis, answers={200: Analysis}),
    _report(path=f"{PATH}/{{id}}/report", handler=get_report, answers={200: Media.of("text/html")}),
    _report(path=f"{PATH}/{{id}}/report.json", handler=get_report_json, answers={200: AnalysisReport}),
    _one(method="DELETE", handler=delete_analysis, answers={204: None}),
)
