"""DRM groups: templates of what streams have in common."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from policies.text import GroupText
from relay.api.streams import GroupChanged, GroupPage, GroupState
from relay.client.http import Http, Tagged, WaitFor

PATH = "/api/v1/drm/groups"


class Groups:
    """``/api/v1/drm/groups``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def all(self, page_size: int = 100) -> AsyncIterator[GroupState]:
        """Every group by name."""
        async for page in self._http.pages(PATH, GroupPage, {"limit": page_size}):
            for group in page.groups:
                yield group

    async def get(self, name: str) -> Tagged[GroupState]:
        """One group, and the streams that are in it."""
        return await self._http.tagged(_path(name), GroupState)

    async def set(
        self,
        name: str,
        group: GroupText,
        *,
        if_match: str = "",
        create: bool = False,
        wait: WaitFor = "local",
        timeout_ms: int = 2000,
    ) -> GroupChanged:
        """Make a group or change it, and the streams in it with it; with ``create`` never change one."""
        query = {"wait": wait, "timeout_ms": timeout_ms}
        return await self._http.change(
            "PUT", _path(name), GroupChanged, group, query=query, if_match=if_match, create=create
        )

    async def remove(
        self, name: str, *, if_match: str = "", wait: WaitFor = "local", timeout_ms: int = 2000
    ) -> GroupChanged:
        """Do away with a group that no stream is in."""
        query = {"wait": wait, "timeout_ms": timeout_ms}
        return await self._http.change("DELETE", _path(name), GroupChanged, query=query, if_match=if_match)


def _path(name: str) -> str:
    return f"{PATH}/{quote(name, safe='')}"
