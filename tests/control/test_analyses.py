import asyncio
import time
from tests.control.desk import open_desk
from tests.watermark.jobs.conftest import *

async def test_x(case):
    t=time.time()
    streams={"vod": {"origin": "http://127.0.0.1:9/vod/", "hls": "a.m3u8", "watermark": {"asset": "film"}}}
    async with open_desk(streams=streams, settings={"watermark": {"analysis": {"assets": str(case.assets), "false_accusation": 1e-3}}}) as desk:
        now = desk.node.clock()
        for n in range(50):
            v = desk.watch(f"s{n}", f"account-{n}", device=f"tv-{n}", watermark=f"wm-{n}")
            for p in range(26):
                desk.node.servings.viewing(v, "film").note(p, True, now-100+p)
        status, body, headers = await desk.call("POST", "/api/v1/drm/watermark/analyze?note=hello", case.leak, Content_Type="video/mp4")
        print(status, body, headers, len(case.leak))
        for _ in range(90):
            got = await desk.get(headers["Location"])
            print(got["state"], got["progress"], got["step"], time.time()-t)
            if got["state"] in ("done","failed"): break
            await asyncio.sleep(1)
        import json
        print(json.dumps(got, indent=1)[:6000])
        status, body, headers = await desk.call("GET", f"/api/v1/drm/watermark/analyses/{got['id']}/report")
        print(status, headers)
    assert 0
