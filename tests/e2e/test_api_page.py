"""The page of the API in a browser: all that the document tells of is on it, and nothing comes from elsewhere."""

import msgspec
from aiohttp import web
from playwright.sync_api import Browser

from relay.control.app import OPERATIONS
from relay.control.reference import DOCUMENT, described
from relay.control.reference import OPERATIONS as REFERENCE
from relay.edge.licence import OPERATIONS as PLAYERS
from relay.operation import add_operations
from tests.e2e.browser import open_page, until
from tests.e2e.local import Server


def test_every_operation_and_schema_is_shown(browser: Browser, server: Server) -> None:
    app = web.Application()
    app[DOCUMENT] = msgspec.Raw(described(OPERATIONS, PLAYERS))
    add_operations(app, REFERENCE)
    url = server.start(app)
    schemas = msgspec.json.decode(app[DOCUMENT])["components"]["schemas"]
    asked: list[str] = []
    with open_page(browser) as page:
        page.on("request", lambda request: asked.append(request.url))
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"{url}/api/docs#schema-Item")
        until(page, "document.querySelectorAll('article').length", 10)
        assert page.locator("article").count() == len(OPERATIONS) + len(PLAYERS) + len(schemas)
        links = page.locator("a[href^='#']").evaluate_all("links => links.map(link => link.hash.slice(1))")
        known = set(page.locator("article").evaluate_all("articles => articles.map(article => article.id)"))
        assert set(links) <= known
        revoke = page.locator("#short_post_revoke")
        for text in ("/api/v1/drm/revoke", "watermark-vendor", "Idempotency-Key", "RevokeBody", "role (2005)"):
            assert text in revoke.inner_text(), text
        # The address led to its place, though the page was empty when it was opened.
        assert page.locator("#schema-Item").evaluate("article => article.getBoundingClientRect().top") < 200
        page.reload()
        until(page, "document.querySelectorAll('article').length", 10)
        assert complaints == []
    assert all(request.startswith(url) for request in asked)
