"""Lay out some views of the probe `rooms` as a picture for the docs: a row for each building.

python studies/rooms.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from modelatlas.probe import open_probe

PATH = Path(__file__).resolve().parents[1] / "docs" / "images" / "rooms.webp"
COLUMNS, TILE = 9, 128


def main() -> None:
    """Write the picture."""
    probe = open_probe("rooms", images=250)  # one view a room
    buildings = sorted({image.id.partition("/")[0] for image in probe.images})
    rows = []
    for building in buildings:
        places = [k for k, image in enumerate(probe.images) if image.id.startswith(f"{building}/")]
        tiles = [Image.fromarray(probe.square(place)).resize((TILE, TILE)) for place in places[:COLUMNS]]
        rows.append(np.concatenate([np.asarray(tile) for tile in tiles], 1))
    Image.fromarray(np.concatenate(rows)).save(PATH, quality=72, method=6)


if __name__ == "__main__":
    main()
