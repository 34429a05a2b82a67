"""One fragment with its data, the unit of encryption: planned first, so that its size is known, then written."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from operator import add

from keys.model import Scheme
from relay.errors import MediaError
from relay.media.box import Box
from relay.media.boxes.seig import Seig
from relay.media.boxes.senc import Senc, encode_subsamples
from relay.media.cipher import encrypt_cbc, encrypt_cbc_pattern, encrypt_ctr
from relay.media.fragment import Auxiliary, TrackFragment, parse_fragment
from relay.media.init_segment import InitSegment
from relay.media.model import ClearUnit, Protection, SampleIvs, TrackEncryption, TrackKind
from relay.media.subsamples import Range, SampleMapper, Subsample

_IV_RANGE = 2**64


@dataclass(frozen=True, slots=True)
class ProtectedUnit:
    """A rebuilt ``moof``, the clear bytes that follow it up to the end of its ``mdat``, and how to encrypt them."""

    moof: bytes
    clear: memoryview
    encryptions: Sequence[Callable[[memoryview, memoryview], None]]

    @property
    def size(self) -> int:
        """Bytes, once written."""
        return len(self.moof) + len(self.clear)

    def write(self, target: memoryview) -> None:
        """Write the protected unit over ``target``, which is as large."""
        target[: len(self.moof)] = self.moof
        protected = target[len(self.moof) :]
        protected[:] = self.clear
        for encrypt in self.encryptions:
            encrypt(self.clear, protected)


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A ``traf`` to protect: of each sample its subsample map, if it has one, and the ranges to encrypt."""

    traf: TrackFragment
    encryption: TrackEncryption
    maps: Sequence[bytes]
    ranges: Sequence[Sequence[Range]]

    def encode_places(self) -> bytes:
        """Where the samples lie: a default size in the init segment may decide it, which the unit does not show."""
        return struct.pack(f">{2 * len(self.traf.samples)}i", *chain.from_iterable(self.traf.samples))


class UnitProtector:
    """Protects the fragments of one segment in order. Video codecs may carry state from one to the next.

    ``groups`` adds the ``seig`` group that names the key; without it readers rely on the ``tenc`` of the init segment.
    ``max_samples`` bounds the samples of all fragments together.
    """

    def __init__(
        self, init: InitSegment, protection: Protection, ivs: SampleIvs, *, groups: bool, max_samples: int
    ) -> None:
        if protection.scheme is Scheme.AES128:
            raise ValueError("HLS AES-128 encrypts whole resources, not samples")
        self._init = init
        self._protection = protection
        self._ivs = ivs
        self._groups = groups
        self._samples_left = max_samples
        self._mappers: dict[int, SampleMapper] = {}

    def plan(self, moof: Box, mdat: Box, position: int) -> ProtectedUnit:
        """Decide all there is to decide about a unit whose ``moof`` starts at ``position`` of its file.

        Raises :class:`MediaError` and its kin for media that cannot be protected.
        """
        fragment = parse_fragment(moof, mdat, self._init, position)
        self._samples_left -= sum(len(traf.samples) for traf in fragment.trafs)
        if self._samples_left < 0:
            # A plan weighs some 300 bytes a sample, so samples of a byte would weigh far more than the segment.
            raise MediaError(f"{moof.where}: more samples than a segment may hold")
        clear = moof.view[moof.end : mdat.end]
        mapped = [self._map(traf, clear, moof.size) for traf in fragment.trafs]
        ivs = self._ivs_by_track(mapped, moof.raw, clear)
        added: list[Auxiliary | None] = []
        encryptions: list[Callable[[memoryview, memoryview], None]] = []
        for item in mapped:
            if item is None:
                added.append(None)
                continue
            own = list(islice(ivs[item.traf.track.id], len(item.maps))) if item.encryption.iv_size else None
            added.append(self._auxiliary(item, own))
            encryptions.append(_encryption(item, own))
        return ProtectedUnit(fragment.rebuild(added), clear, encryptions)

    def _map(self, traf: TrackFragment, clear: memoryview, moof_size: int) -> _Mapped | None:
        kind = traf.track.kind
        if kind is TrackKind.CLEAR or not traf.samples:
            return None
        encryption = self._protection.of(kind)
        places = [(start - moof_size, end - moof_size) for start, end in traf.samples]
        if kind is TrackKind.AUDIO:
            return _Mapped(traf, encryption, [b""] * len(places), [(place,) for place in places])
        mapper = self._mapper(traf)
        maps: list[bytes] = []
        ranges: list[Sequence[Range]] = []
        for start, end in places:
            subsamples = mapper.map(clear[start:end]) if end > start else [(0, 0)]
            maps.append(encode_subsamples(subsamples))
            ranges.append(_protected_ranges(start, subsamples))
        return _Mapped(traf, encryption, maps, ranges)

    def _mapper(self, traf: TrackFragment) -> SampleMapper:
        entry = traf.entry
        mapper = self._mappers.get(entry.box.start)
        if mapper is None:
            assert entry.codec is not None, "video sample entries have a codec"
            mapper = self._mappers[entry.box.start] = entry.codec.mapper(self._protection.scheme)
        return mapper

    def _ivs_by_track(
        self, mapped: Sequence[_Mapped | None], moof: memoryview, clear: memoryview
    ) -> dict[int, Iterator[bytes]]:
        """The IVs of each track's samples in order; its trafs share them, for they share the unit."""
        ivs: dict[int, Iterator[bytes]] = {}
        protected = [item for item in mapped if item is not None and item.encryption.iv_size]
        for track_id, key in {item.traf.track.id: item.encryption.key for item in protected}.items():
            own = [item for item in protected if item.traf.track.id == track_id]
            layout = b"".join(chain.from_iterable((item.encode_places(), *item.maps) for item in own))
            first = self._ivs.first(key, ClearUnit(track_id, moof, clear, layout, sum(len(item.maps) for item in own)))
            ivs[track_id] = ((number % _IV_RANGE).to_bytes(8, "big") for number in count(first))
        return ivs

    def _auxiliary(self, item: _Mapped, ivs: Sequence[bytes] | None) -> Auxiliary:
        groups = Seig(len(item.maps), item.encryption).encode() if self._groups else b""
        video = item.traf.track.kind is TrackKind.VIDEO
        if ivs is None and not video:
            # cbcs audio has nothing to say per sample (ISO/IEC 23000-19 §8.2.2.1).
            return Auxiliary(groups, None)
        records = item.maps if ivs is None else list(map(add, ivs, item.maps))
        return Auxiliary(groups, Senc(records, has_subsamples=video))


def _protected_ranges(start: int, subsamples: Sequence[Subsample]) -> list[Range]:
    ranges: list[Range] = []
    for clear, protected in subsamples:
        start += clear
        if protected:
            ranges.append((start, start + protected))
        start += protected
    return ranges


def _encryption(item: _Mapped, ivs: Sequence[bytes] | None) -> Callable[[memoryview, memoryview], None]:
    key = item.encryption.key
    if ivs is not None:
        return partial(encrypt_ctr, key.key, ivs, item.ranges)
    encrypt = encrypt_cbc_pattern if item.encryption.pattern else encrypt_cbc
    return partial(encrypt, key.key, key.constant_iv, list(chain.from_iterable(item.ranges)))
