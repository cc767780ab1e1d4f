"""Reads flatbuffers of unknown origin: every offset is checked before it is followed.

The format: flatbuffers.dev, "FlatBuffer Internals". A field is told by its place in the schema.
"""

import struct

_LONGEST = 1 << 20  # elements of a vector; larger ones are not what is read here


class Table:
    """One table of a flatbuffer.

    Every method raises ValueError where the bytes do not hold what it should find.
    """

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position
        self._fields = position - self._number("<i", position)
        self._size = self._number("<H", self._fields)

    @classmethod
    def root(cls, data: bytes) -> "Table":
        table = cls.__new__(cls)
        table._data = data
        cls.__init__(table, data, table._number("<I", 0))
        return table

    def _number(self, form: str, position: int) -> int:
        if position < 0 or position + struct.calcsize(form) > len(self._data):
            raise ValueError(f"an offset leads outside the file, to byte {position}")
        return struct.unpack_from(form, self._data, position)[0]

    def place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        offset = self._number("<H", self._fields + entry) if entry + 2 <= self._size else 0
        return self._position + offset if offset else None

    def _target(self, position: int) -> int:
        return position + self._number("<I", position)

    def integer(self, field: int, form: str = "<i", default: int = 0) -> int:
        """A number; `form` as the struct module has it."""
        place = self.place(field)
        return default if place is None else self._number(form, place)

    def table(self, field: int) -> "Table | None":
        place = self.place(field)
        return None if place is None else Table(self._data, self._target(place))

    def raw(self, field: int) -> bytes:
        """A vector of bytes, or the UTF-8 of a string."""
        start, count = self._vector(field, 1, longest=len(self._data))
        return self._data[start : start + count]

    def string(self, field: int) -> str:
        return self.raw(field).decode("utf-8", "replace")

    def numbers(self, field: int, form: str) -> tuple:
        """A vector of numbers; `form` is one letter of the struct module: i, f, q."""
        start, count = self._vector(field, struct.calcsize(f"<{form}"))
        return struct.unpack_from(f"<{count}{form}", self._data, start)

    def tables(self, field: int) -> list["Table"]:
        start, count = self._vector(field, 4)
        return [Table(self._data, self._target(start + 4 * number)) for number in range(count)]

    def _vector(self, field: int, size: int, longest: int = _LONGEST) -> tuple[int, int]:
        """Where the elements start, and how many there are."""
        place = self.place(field)
        if place is None:
            return 0, 0
        start = self._target(place)
        count = self._number("<I", start)
        if count > longest or start + 4 + count * size > len(self._data):
            raise ValueError(f"a vector of {count} elements does not fit into the file")
        return start + 4, count
