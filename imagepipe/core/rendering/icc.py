"""ICC profiles: what one is for, and one made of primaries and a curve (ICC.1:2001-04, version 2).

header(128): size(4) ... class "mntr" at 12, colour space at 16, "XYZ " at 20, "acsp" at 36
count(4)  { name(4) offset(4) size(4) }...  data
rXYZ gXYZ bXYZ    the primaries, adapted to D50        rTRC gTRC bTRC    the curve, one for all
    three
"""

import struct

from imagepipe.core.rendering.colourimetry import Colourimetry, light

HEADER_BYTES = 128

_ENTRIES = 4096
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))

_Vector = tuple[float, float, float]
_Matrix = tuple[_Vector, _Vector, _Vector]


def colour_space(profile: bytes) -> bytes:
    """The four letters of the colour space that a profile is for, such as b"RGB "; empty if it is
    none.
    """
    return profile[16:20] if len(profile) >= HEADER_BYTES and profile[36:40] == b"acsp" else b""


def profile_of(colourimetry: Colourimetry) -> bytes:
    """A profile for RGB pixels of `colourimetry`."""
    red, green, blue = _columns(_to_d50(colourimetry))
    values = (round(65535 * light(colourimetry, n / (_ENTRIES - 1))) for n in range(_ENTRIES))
    curve = b"curv" + bytes(4) + struct.pack(f">I{_ENTRIES}H", _ENTRIES, *values)
    name = b"imagepipe\0"
    described = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)
    tags = {
        b"desc": described,
        b"cprt": b"text" + bytes(4) + b"No copyright, use freely\0",
        b"wtpt": _xyz(_D50),
    }
    tags |= {
        b"rXYZ": _xyz(red),
        b"gXYZ": _xyz(green),
        b"bXYZ": _xyz(blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return _file(tags)


def _file(tags: dict[bytes, bytes]) -> bytes:
    start = HEADER_BYTES + 4 + 12 * len(tags)
    table, data, places = struct.pack(">I", len(tags)), bytearray(), dict[bytes, int]()
    for name, content in tags.items():
        if content not in places:
            places[content] = start + len(data)
            data += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, places[content], len(content))
    sizes = struct.pack(
        ">I4sI4s4s4s6H",
        start + len(data),
        bytes(4),
        0x02100000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        2000,
        1,
        1,
        0,
        0,
        0,
    )
    illuminant = struct.pack(">iii", *(round(65536 * each) for each in _D50))
    header = sizes + b"acsp" + bytes(28) + illuminant
    return header + bytes(HEADER_BYTES - len(header)) + table + bytes(data)


def _xyz(colour: _Vector) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(65536 * each) for each in colour))


def _to_d50(colourimetry: Colourimetry) -> _Matrix:
    """The matrix from linear RGB to XYZ under D50."""
    x = colourimetry.primaries
    red, green, blue, white = (_of_xy(x[at], x[at + 1]) for at in (0, 2, 4, 6))
    matrix = _columns((red, green, blue))
    weights = _applied(_inverse(matrix), white)
    matrix = _columns(
        (_scaled(red, weights[0]), _scaled(green, weights[1]), _scaled(blue, weights[2]))
    )
    ours, wanted = _applied(_BRADFORD, white), _applied(_BRADFORD, _D50)
    cone = _product(
        _diagonal((wanted[0] / ours[0], wanted[1] / ours[1], wanted[2] / ours[2])), _BRADFORD
    )
    return _product(_product(_inverse(_BRADFORD), cone), matrix)


def _of_xy(x: float, y: float) -> _Vector:
    return x / y, 1.0, (1 - x - y) / y


def _scaled(vector: _Vector, factor: float) -> _Vector:
    return vector[0] * factor, vector[1] * factor, vector[2] * factor


def _columns(matrix: _Matrix) -> _Matrix:
    a, b, c = matrix
    return (a[0], b[0], c[0]), (a[1], b[1], c[1]), (a[2], b[2], c[2])


def _diagonal(values: _Vector) -> _Matrix:
    return (values[0], 0.0, 0.0), (0.0, values[1], 0.0), (0.0, 0.0, values[2])


def _applied(matrix: _Matrix, vector: _Vector) -> _Vector:
    x, y, z = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return x, y, z


def _product(left: _Matrix, right: _Matrix) -> _Matrix:
    a, b, c = (_applied(left, column) for column in _columns(right))
    return _columns((a, b, c))


def _inverse(matrix: _Matrix) -> _Matrix:
    """By cofactors; the matrix has an inverse."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    cofactors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    x, y, z = (_scaled(row, 1 / determinant) for row in cofactors)
    return x, y, z
