"""A stand-in for the module of Apple's server SDK, as its JSON is known: our own server under the stand-in D."""

import json
from base64 import b64decode, b64encode
from os import urandom
from time import time
from typing import Any

from keys.errors import LicenceRequestError
from keys.licences.fairplay import FairPlayServer
from keys.licences.terms import GrantedKey, Term
from keys.material import ContentKey
from keys.model import Hdcp, Outputs, TrackType
from tests.keys.licences.fairplay_device import CREDENTIALS, stand_in_d

_SERVER = FairPlayServer([CREDENTIALS], stand_in_d)
_HDCP = {None: Hdcp.NONE, 0: Hdcp.V1, 1: Hdcp.V2_2}


def process(request: bytes) -> bytes:
    ((operation, (item,)),) = json.loads(request)["fairplay-streaming-request"].items()
    return json.dumps({"fairplay-streaming-response": {operation: [_done(operation, item)]}}).encode()


def _done(operation: str, item: dict[str, Any]) -> dict[str, Any]:
    now = time()
    try:
        opened = _SERVER.open(b64decode(item["spc"]), now)
    except LicenceRequestError:
        return {"id": item["id"], "status": -42581}
    asset_id = opened.asset_id.decode()
    if operation == "get-client-info":
        return {"id": item["id"], "status": 0, "hu": opened.device.digest.hex(), "asset-id": asset_id}
    assert item["asset-id"] == asset_id
    (info,) = item["asset-info"]
    assert info["encryption-scheme"] == "cbcs"
    key = ContentKey(opened.kids[0], bytes.fromhex(info["content-key"]), bytes.fromhex(info["content-iv"]), b"")
    granted = GrantedKey(key, TrackType.HD, outputs=Outputs(_HDCP[info.get("hdcp-type")]))
    kept = info.get("offline-hls")
    seconds = kept["rental-duration"] if kept else info.get("lease-duration", 0)
    ckc = _SERVER.issue(opened, [granted], Term(now + seconds + 1, persistent=kept is not None), now, urandom)
    return {"id": item["id"], "status": 0, "ckc": b64encode(ckc).decode(), "asset-id": asset_id}


def broken(request: bytes) -> bytes:
    return b"not JSON" if b"get-client-info" in request else b""


def failing(request: bytes) -> bytes:
    return process(request) if b"get-client-info" in request else process(request).replace(b'": 0', b'": -42605')
