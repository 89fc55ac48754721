"""A few probe images with the maps of all models, for figures and page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from jaxtyping import Float, UInt8

from modelatlas.atlas import Atlas
from modelatlas.errors import InputError

__all__ = ["Example", "examples", "telling_examples"]


@dataclass(frozen=True, eq=False)
class Example:
    """One probe image and its maps.

    Attributes
    ----------
    name
        The image's id in the probe.
    photo
        Its centre square, or None where the atlas keeps no picture of it.
    credit
        Where the image comes from, and its licence, as far as the probe says.
    maps
        Model -> method -> map, all 0 where dead.
    """

    name: str
    photo: UInt8[np.ndarray, "any any 3"] | None
    credit: str
    maps: Mapping[str, Mapping[str, Float[np.ndarray, "grid grid"]]]

    @property
    def living(self) -> int:
        """Number of maps that are not dead."""
        return sum(bool(values.any()) for of in self.maps.values() for values in of.values())


def examples(atlas: Atlas, images: Sequence[str], models: Sequence[str]) -> list[Example]:
    """Take some models and some images, each named by its id or its number from 0.

    Raises
    ------
    InputError
        No such image or model; near names are offered.
    """
    places = [_place(atlas, image) for image in images]
    maps = {model: atlas.maps(model, first=max(places) + 1) for model in models}
    return [_example(atlas, place, maps) for place in places]


def telling_examples(atlas: Atlas, count: int, models: Sequence[str]) -> list[Example]:
    """Take the `count` images on which most models are alive, the first of the probe at a tie.

    Taken are images of which the atlas keeps a picture, if there are any.
    """
    places = [place for place, image in enumerate(atlas.images()) if image in atlas.thumbnails]
    places = places or list(range(min(count, len(atlas.images()))))
    maps = {model: atlas.maps(model, first=max(places) + 1) for model in models}
    candidates = [_example(atlas, place, maps) for place in places]
    best = sorted(candidates, key=lambda one: -one.living)[:count]
    return sorted(best, key=candidates.index)


def _example(
    atlas: Atlas, place: int, maps: Mapping[str, Mapping[str, Float[np.ndarray, "image row column"]]]
) -> Example:
    name = atlas.images()[place]
    found = {model: {method: values[place] for method, values in of.items()} for model, of in maps.items()}
    return Example(name, atlas.thumbnails.get(name), _credit(atlas, name), found)


def _credit(atlas: Atlas, name: str) -> str:
    entry: Mapping[str, str] = next(
        (image for image in atlas.manifest()["images"] if image["id"] == name), {}
    )
    return ", ".join(entry[key] for key in ("source", "licence") if entry.get(key))


def _place(atlas: Atlas, image: str) -> int:
    names = atlas.images()
    if image in names:
        return names.index(image)
    if image.isdecimal() and int(image) < len(names):
        return int(image)
    near = get_close_matches(image, names, 3, 0.4) or names[:3]
    raise InputError(
        f"{atlas.path} has no image {image!r}: give an id such as {', '.join(near)}, "
        f"or a number from 0 to {len(names) - 1}"
    )
