"""How records of topics are decoded: whatever a stranger has written there is a value, or one kind of error."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")


def decoding(shape: type[T]) -> Callable[[bytes], T]:
    """A function that reads a value from JSON. It raises msgspec.DecodeError, and nothing else, unless it is one.

    msgspec raises RecursionError for what is nested too deeply, though in a member that nobody knows.
    """
    decode = msgspec.json.Decoder(shape).decode

    def decode_value(data: bytes) -> T:
        try:
            return decode(data)
        except RecursionError:
            raise msgspec.DecodeError("JSON is nested too deeply") from None

    return decode_value
