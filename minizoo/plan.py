"""Which buildings there are, in which order they are made, and what the rooms of one share.

A building has its own wall finishes, floors, doors, windows and a choice of furniture models, so that
splitting by building is honest. Splits are interleaved: whenever rendering stops, what is there is a usable
mix.
"""

import colorsys
import math
import random
from dataclasses import dataclass

from minizoo.catalogue import SEEN_SPLITS, Catalogue, hold_out
from minizoo.geometry import rng_for
from minizoo.kinds import KINDS, PLACES

__all__ = ["Building", "Floor", "Palette", "buildings", "floors", "palette_of", "place_of"]

_CYCLE = ("train", "transfer", "test", "train", "val", "train", "train", "transfer", "train", "train")
_CYCLES = 6
FLOOR = len(PLACES)
_PROBES = 5
_PROBE_ROOMS = 50  # x 4 views: 200 of a building, 1,000 in all, as the paper's probe

DRY_FLOORS = (
    "woodenFloor", "oldWoodenFloor", "dark-wood", "light-wood", "wood-tiles", "wood-varnished-panels",
    "light-gray-floor-tile", "gray-woodgrain",
)  # fmt: skip
WET_FLOORS = (
    "greyTile", "blackAndWhiteTiles", "beigeTile", "darkBlueTile", "redTiles", "stoneTiles", "lightBlueTile",
)  # fmt: skip
WET_WALLS = ("blueTiles", "wallBeigeTile", "beigeTile", "lightBlueTile", "greyTile")
WALLS = (
    "cream-plaster", "gray-plaster", "light-gray-plaster", "pink-plaster", "white-plaster", "yellow-plaster",
    "white-bricks", "smallWhiteBricks", "smallRedBricks", "roughcast", "stone2Wall", "marbleWall",
)  # fmt: skip
# Pictures of two or three bricks: at the scale of plaster they would be blocks of half a metre.
_FINE = {"smallRedBricks": 0.35, "smallWhiteBricks": 0.4, "roughcast": 0.5}


@dataclass(frozen=True)
class Building:
    """A name, the split it belongs to, and how many rooms it has."""

    name: str
    split: str
    rooms: int


@dataclass(frozen=True)
class Floor:
    """Ten rooms of a building, one of every kind: the least that is packed and committed."""

    building: Building
    number: int
    rooms: range

    @property
    def name(self) -> str:
        """Name of the floor's shard."""
        return f"{self.building.name}-{self.number}"


@dataclass(frozen=True)
class Palette:
    """What the rooms of one building share."""

    models: dict[str, tuple[str, ...]]
    walls: tuple[dict, ...]
    accents: tuple[dict, ...]
    wet_walls: tuple[dict, ...]
    dry_floors: tuple[dict, ...]
    wet_floors: tuple[dict, ...]
    woodwork: dict
    height: float
    hue: float


def buildings() -> list[Building]:
    """All buildings, in the order in which they are begun."""
    return [building for cycle in _cycles() for building in cycle]


def floors(chosen: list[list[Building]] | None = None) -> list[Floor]:
    """All floors, in the order in which they are made: the first ones of all buildings, then the second.

    Many buildings are worth more than whole ones: with three floors each of nine buildings, colours of
    other buildings could not be told better than by the most frequent ones.
    """
    whole = [_floors_of(building) for cycle in chosen or _cycles() for building in cycle]
    numbers = range(max(map(len, whole)))
    return [own[number] for number in numbers for own in whole if number < len(own)]


def _floors_of(building: Building) -> list[Floor]:
    starts = range(0, building.rooms, FLOOR)
    ends = [min(start + FLOOR, building.rooms) for start in starts]
    return [Floor(building, k, range(a, b)) for k, (a, b) in enumerate(zip(starts, ends, strict=True))]


def _cycles() -> list[list[Building]]:
    """Ten buildings of all splits and, in the middle, one of the probe."""
    counts = dict.fromkeys((*_CYCLE, "probe"), 0)

    def next_of(split: str) -> Building:
        name = f"{split}-{counts[split]:03d}"
        counts[split] += 1
        rooms = _PROBE_ROOMS if split == "probe" else rng_for("rooms", name).randint(25, 32)
        return Building(name, split, rooms)

    cycles = []
    for cycle in range(_CYCLES):
        begun = []
        for position, split in enumerate(_CYCLE):
            begun.append(next_of(split))
            if position == len(_CYCLE) // 2 and cycle < _PROBES:
                begun.append(next_of("probe"))
        cycles.append(begun)
    return cycles


def place_of(building: Building, index: int) -> str:
    """Kind of room: every building has all ten, as evenly as its number of rooms allows."""
    order = list(PLACES)
    rng_for("places", building.name, index // len(PLACES)).shuffle(order)
    return order[index % len(PLACES)]


def palette_of(building: Building, catalogue: Catalogue) -> Palette:
    """Draw what the rooms of a building share."""
    rng = rng_for("palette", building.name)
    seen = building.split in SEEN_SPLITS
    hue = rng.random()
    models = {}
    for kind in KINDS:
        pool = catalogue.pool(kind.name, building.split)
        models[kind.name] = tuple(rng.sample(pool, min(len(pool), max(3, math.ceil(0.6 * len(pool))))))

    def textures(names: tuple[str, ...]) -> tuple[str, ...]:
        return hold_out(names)[0 if seen else 1]

    def image(names: tuple[str, ...], scales: tuple[float, ...], rough: float, tint: float) -> dict:
        name = rng.choice(textures(names))
        return {
            "type": "image", "name": name, "scale": rng.choice(scales) * _FINE.get(name, 1.0), "rough": rough,
            "tint": _tint(rng, tint),
        }  # fmt: skip

    def pattern(name: str, scale: float, rough: float, colours: int = 3) -> dict:
        return {
            "type": "pattern", "pattern": name, "seed": f"{building.split}-{rng.randrange(10**9)}",
            "scale": scale,
            "rough": rough, "colours": [_colour(rng, hue) for _ in range(colours)],
        }  # fmt: skip

    walls = [_paint(rng, hue, saturation=(0.02, 0.14), value=(0.72, 0.93)) for _ in range(3)]
    walls.append(image(WALLS, (0.8, 1.2, 1.6), 0.8, 0.25))
    accents = [
        _paint(rng, hue + rng.uniform(-0.1, 0.6), saturation=(0.15, 0.42), value=(0.45, 0.85))
        for _ in range(2)
    ]
    accents.append(pattern(rng.choice(("stripes", "dots", "checks", "damask")), rng.uniform(0.3, 0.7), 0.8))
    return Palette(
        models=models, walls=tuple(walls), accents=tuple(accents),
        wet_walls=(image(WET_WALLS, (0.25, 0.35, 0.5), 0.3, 0.35), pattern("tiles", rng.uniform(0.8, 1.6),
        0.25)),
        dry_floors=(
            image(DRY_FLOORS, (0.8, 1.1, 1.5), 0.45, 0.3), pattern("planks", rng.uniform(1.6, 2.4), 0.4),
            {"type": "paint", "color": _colour(rng, hue), "rough": 0.95},
        ),
        wet_floors=(image(WET_FLOORS, (0.4, 0.6, 0.8), 0.3, 0.3), pattern("tiles", rng.uniform(1.2, 2.0),
        0.3)),
        woodwork={"type": "paint", "color": rng.choice(((0.85, 0.85, 0.83), (0.75, 0.7, 0.62), (0.35, 0.22,
        0.13))),
                  "rough": 0.4},
        height=rng.uniform(2.45, 3.0), hue=hue,
    )  # fmt: skip


def _colour(rng: random.Random, hue: float) -> tuple[float, float, float]:
    near = (hue + rng.choice((0, 0.05, 0.5, 0.33)) + rng.uniform(-0.04, 0.04)) % 1
    return colorsys.hsv_to_rgb(near, rng.uniform(0.08, 0.45), rng.uniform(0.3, 0.85))


def _paint(
    rng: random.Random, hue: float, saturation: tuple[float, float], value: tuple[float, float]
) -> dict:
    near = (hue + rng.uniform(-0.12, 0.12)) % 1
    return {"type": "paint", "color": colorsys.hsv_to_rgb(near, rng.uniform(*saturation),
    rng.uniform(*value)),
            "rough": 0.85}  # fmt: skip


def _tint(rng: random.Random, strength: float) -> tuple[float, float, float]:
    return tuple(1 - strength * rng.random() for _ in range(3))
