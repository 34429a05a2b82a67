"""A relay's process that has an analysis done which does not end, in the folder of its argument."""

import asyncio
import sys
from pathlib import Path

from relay.watermark.jobs import process
from relay.watermark.jobs.messages import Limits, Read

if __name__ == "__main__":
    process.COMMAND = (sys.executable, "-P", "-m", "tests.watermark.jobs.misbehaving", "stay")
    order = Read(Limits(1 << 30, 1 << 20, 60), "upload", "assets", "", 1000, 10.0, 10.0)
    asyncio.run(process.perform(order, Path(sys.argv[1]), lambda _asset, _check: None, lambda _step, _share: None))
