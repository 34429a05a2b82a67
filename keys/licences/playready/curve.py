"""Arithmetic of whole points on P-256 (SEC 2 §2.4.2), which the libraries' ECDH, giving x alone, leaves out.

Scalars meet OpenSSL only; what Python itself computes with are points, each of one message.
"""

from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec

_CURVE = ec.SECP256R1()
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

POINT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve other than the one at infinity. Some are secret: the repr shows none."""

    x: int = field(repr=False)
    y: int = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read x and y, 32 bytes each. Raises :class:`ValueError` for anything but a point of the curve."""
        if len(data) != POINT_BYTES:
            raise ValueError(f"point: {len(data)} bytes, expected {POINT_BYTES}")
        x, y = int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big")
        if x >= _P or y >= _P or (y * y - _right_side(x)) % _P:
            raise ValueError("point: not on the curve P-256")
        return cls(x, y)

    @classmethod
    def lift(cls, x: int) -> Self | None:
        """The point of this x with an even y, or None: about every other x has a point."""
        if x >= _P:
            return None
        square = _right_side(x)
        y = pow(square, (_P + 1) // 4, _P)
        if (y * y - square) % _P:
            return None
        return cls(x, y if y % 2 == 0 else _P - y)

    def encode(self) -> bytes:
        """x and y, 32 bytes each."""
        return self.x.to_bytes(32, "big") + self.y.to_bytes(32, "big")

    def negated(self) -> Self:
        """The point that this one adds up to infinity with."""
        return type(self)(self.x, _P - self.y)

    def plus(self, other: "Point") -> "Point":
        """The sum. Raises :class:`ValueError` where both have the same x: nobody honest meets that by chance."""
        if self.x == other.x:
            raise ValueError("point: sum of a point and itself or its negative")
        slope = (self.y - other.y) * pow(self.x - other.x, -1, _P) % _P
        x = (slope * slope - self.x - other.x) % _P
        return Point(x, (slope * (self.x - x) - self.y) % _P)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The same, for the library."""
        return ec.EllipticCurvePublicNumbers(self.x, self.y, _CURVE).public_key()


class Scalar:
    """A secret multiplier from 2 to the group order less 2. Its repr does not show it."""

    __slots__ = ("_next", "_own")

    def __init__(self, value: int) -> None:
        """Raises :class:`ValueError` outside the range."""
        if not 2 <= value <= _ORDER - 2:
            raise ValueError("scalar: outside the range")
        self._own = ec.derive_private_key(value, _CURVE)
        self._next = ec.derive_private_key(value + 1, _CURVE)

    @classmethod
    def from_entropy(cls, entropy: bytes) -> Self:
        """A scalar from 40 random bytes, 64 bits more than it has, so that no value is likelier (FIPS 186-5 §A.2.1)."""
        if len(entropy) != 40:
            raise ValueError(f"scalar: {len(entropy)} bytes of entropy, expected 40")
        return cls(int.from_bytes(entropy, "big") % (_ORDER - 3) + 2)

    def base(self) -> Point:
        """This many times the generator."""
        numbers = self._own.public_key().public_numbers()
        return Point(numbers.x, numbers.y)

    def times(self, point: Point) -> Point:
        """This many times ``point``.

        ECDH gives the x of the product S, and so ±S; a second one, with the scalar one higher, gives the x of
        S + point, which tells the sign. Several times faster than multiplying in Python.
        """
        public = point.public_key()
        product = Point.lift(int.from_bytes(self._own.exchange(ec.ECDH(), public), "big"))
        beyond = int.from_bytes(self._next.exchange(ec.ECDH(), public), "big")
        if product is None:  # never: the library computes on the curve
            raise ValueError("point: ECDH left the curve")
        # The addition formula for x, multiplied out so that nothing need be inverted. S is neither the point nor its
        # negative: that would take a scalar of 1 or -1.
        run = product.x - point.x
        rise = product.y - point.y
        if (rise * rise - (beyond + product.x + point.x) * run * run) % _P == 0:
            return product
        return product.negated()


def _right_side(x: int) -> int:
    return (x * x * x - 3 * x + _B) % _P
