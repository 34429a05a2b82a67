"""Writes the bit fields that the codecs read."""


class Bits:
    """A string of bits; every method returns the object itself."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, bits: int, value: int) -> "Bits":
        self.text += f"{value:0{bits}b}" if bits else ""
        return self

    def ue(self, *values: int) -> "Bits":
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def se(self, *values: int) -> "Bits":
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def flags(self, text: str) -> "Bits":
        self.text += text
        return self

    def bytes(self) -> bytes:
        """The bits, filled up with ones."""
        text = self.text + "1" * (-len(self.text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


def nal_sample(*nals: bytes) -> memoryview:
    """A sample of NAL units with four-byte lengths."""
    return memoryview(b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals))
