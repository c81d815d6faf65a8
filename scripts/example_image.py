"""Draws a JPEG to try imagepipe with: coloured rings, 1600x1200.

python scripts/example_image.py FILE
"""

import sys

import pyvips

WIDTH, HEIGHT = 1600, 1200


def main(file: str) -> None:
    rings = pyvips.Image.zone(WIDTH, HEIGHT).linear(40, 60)
    place = pyvips.Image.xyz(WIDTH, HEIGHT)
    hue = (place[0] / WIDTH + place[1] / HEIGHT) * 180
    picture = rings.bandjoin([rings * 0 + 60, hue]).copy(interpretation="lch")
    picture.colourspace("srgb").jpegsave(file, Q=90)


if __name__ == "__main__":
    [file] = sys.argv[1:]
    main(file)
