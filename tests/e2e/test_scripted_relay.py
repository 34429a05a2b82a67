"""The scripted relay must speak as the real one does, or the SDK is tested against nothing."""

import json
from urllib.parse import urljoin

from tests.e2e.scripted_relay import key_push
from tests.edge.world import World


async def test_its_pushes_have_the_shape_of_the_relay_s(world: World) -> None:
    status, body, _ = await world.get(urljoin(await world.enter("vod"), "keys"))
    assert status == 200
    real, scripted = json.loads(body), key_push(1, due_in_s=None)
    assert {name: type(value) for name, value in real.items()} == {
        name: type(value) for name, value in scripted.items()
    }
    assert set(real["keys"][0]) == set(scripted["keys"][0])
