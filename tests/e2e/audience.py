"""Viewers without players: sessions that fetch every new segment of a stream over plain HTTP, as bytes."""

import json
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin

import m3u8

LOOK_EVERY_S = 8.0


def call(urls: Mapping[str, str], path: str, body: object = None) -> Any:
    """A call of the demo's control API, and its answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {urls['api_key']}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(urls["control"] + path, data, headers), timeout=60) as answer:
        return json.load(answer)


def fetch(url: str) -> tuple[str, bytes]:
    """Where a GET ended up, and what came of it."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.url, answer.read()


def media_playlist(entry: str) -> str:
    """The playlist of a session's smallest rendition, by its entry URL."""
    where, body = fetch(entry)
    listed = m3u8.loads(body.decode()).playlists
    return urljoin(where, str(min(listed, key=lambda one: one.stream_info.bandwidth).uri))


def segments(playlist: str) -> list[str]:
    """What a media playlist lists."""
    where, body = fetch(playlist)
    return [urljoin(where, str(segment.uri)) for segment in m3u8.loads(body.decode()).segments]


@contextmanager
def audience(urls: Mapping[str, str], viewers: int) -> Iterator[None]:
    """So many sessions of viewers of their own, who watch for the length of the block."""
    playlists = []
    for number in range(viewers):
        body = {"account_id": f"viewer-{number}", "device_id": f"tv-{number}", "stream_ids": [urls["stream_id"]]}
        links = call(urls, "/api/v1/sessions", body)["streams"][0]
        playlists.append(media_playlist(urljoin(urls["edge"], links["hls_url"])))
    over = threading.Event()
    failed: list[BaseException] = []

    def watch() -> None:
        seen: set[str] = set()
        try:
            while True:
                for playlist in playlists:
                    for segment in segments(playlist):
                        if segment not in seen:
                            fetch(segment)
                            seen.add(segment)
                if over.wait(LOOK_EVERY_S):
                    return
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert not failed, failed
