"""Real photographs, from Debian's gnome-backgrounds and lomiri-wallpapers-20.04, which `make test`
fetches.
"""

from tests.support.repository import ROOT

_FOLDER = ROOT / ".cache/photos/usr/share/backgrounds"

ALPS = "Kleiber_by_Lukas_Baubkus.jpg"
"""6028x3391, JPEG."""
FOSSA = "Fossa_by_Jasper_Roks.jpg"
"""4096x2304, JPEG."""
SEA = "Infinite-Sea_by_Aury88.jpg"
"""4096x4096, progressive JPEG."""
PAINTING = "Painting-Colors_by__herobrine7gamer.jpg"
"""6000x4000, JPEG with an sRGB profile."""
WOOD = "gnome/wood-l.webp"
"""4096x4096, WebP."""


def photograph(name: str) -> bytes:
    """The file's bytes."""
    path = _FOLDER / name
    assert path.is_file(), f"{path} is missing: `make test` fetches it"
    return path.read_bytes()
