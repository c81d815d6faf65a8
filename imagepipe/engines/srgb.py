"""The sRGB profile that both engines convert to, as Little CMS makes it; the copyright in it reads
"No copyright, use freely".
"""

from pathlib import Path

SRGB_PROFILE = str(Path(__file__).with_name("srgb.icc"))
"""The file's path."""
