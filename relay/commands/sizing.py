"""The licence estimate on the command line: options in, a table out."""

from collections.abc import Mapping

import msgspec

from relay.commands.tables import aligned
from relay.errors import RequestError
from relay.licensing.estimate import Estimate, Licences, Usage, estimate

_TIMES = frozenset(name.removesuffix("_s") for name in Usage.__struct_fields__ if name.endswith("_s"))
_COLUMNS = ["system", "viewers", "requests each", "first", "renewals", "rotation", "total", "next key in"]


def usage_of(given: Mapping[str, int | None], shares: Mapping[str, float]) -> Usage:
    """The usage that options describe; None stands for one left out. Raises :class:`RequestError`, naming the option.

    ``given`` has the names of the fields of :class:`Usage`, times without their unit.
    """
    values: dict[str, object] = {
        f"{name}_s" if name in _TIMES else name: value for name, value in given.items() if value is not None
    }
    if shares:
        values["systems"] = shares
    try:
        return msgspec.convert(values, Usage)
    except msgspec.ValidationError as err:
        what, _, where = str(err).partition(" - at `$.")
        field = where.rstrip("`").removesuffix("_s").replace("_", "-").replace("systems", "share").replace(".", " ")
        raise RequestError(f"--{field}: {what}" if field else what) from None


def estimate_json(usage: Usage) -> str:
    """What the API answers."""
    return msgspec.json.format(msgspec.json.encode(estimate(usage)), indent=2).decode()


def estimate_table(usage: Usage) -> str:
    """The estimate in aligned columns."""
    found = estimate(usage)
    rows = [_COLUMNS]
    for system, one in found.systems.items():
        rows.append([system, f"{one.viewers:,}", f"{one.requests_each}", *_counts(one), one.next_key_in])
    rows.append(["all", f"{usage.viewers:,}", "", *_counts(found.licences), ""])
    return "\n".join(["Licences", *aligned(rows), "", "Requests a second, at most", *aligned(_rates(usage, found))])


def _counts(of: Licences) -> list[str]:
    return [f"{number:,}" for number in (of.first, of.renewals, of.rotation, of.total)]


def _rates(usage: Usage, found: Estimate) -> list[list[str]]:
    peak = found.peak_per_s
    rates = [(f"starts, over {usage.arrival_s} s", peak.starts)]
    if usage.renewal_interval_s:
        rates.append(("renewals", peak.renewals))
    if usage.rotation_interval_s:
        rates.append((f"rotation, over {usage.boundary_s} s at the boundary", peak.rotation_at_boundary))
        rates.append(("all together", peak.total_at_boundary))
    if usage.pre_delivery_s:
        rates.append((f"rotation, spread over a lead of {usage.pre_delivery_s} s", peak.rotation_spread))
    if usage.pre_delivery_s or not usage.rotation_interval_s:
        rates.append(("all together", peak.total_spread))
    return [[name, f"{rate:,.1f}"] for name, rate in rates]
