"""Keys of a spec that say what a network expects at its input, for sources whose files do not.

`size=224` or `size=480x640` (height x width), `mean=0.5` or `mean=0.485/0.456/0.406`, `std=` alike,
`range=0/255`, `order=BGR`. Numbers are parted by slashes, since commas part the specs of a list.
"""

import re
from dataclasses import replace
from typing import Any, Final, get_args

from modelatlas.errors import InputError
from modelatlas.zoo.preprocess import ONE_CHANNEL, ChannelOrder, Preprocess
from modelatlas.zoo.spec import ModelSpec

__all__ = ["INPUT_OPTIONS", "with_input_options"]

INPUT_OPTIONS: Final = ("size", "mean", "std", "range", "order")
_SIDE: Final = r"[1-9][0-9]{0,4}"


def with_input_options(known: Preprocess, spec: ModelSpec) -> Preprocess:
    """Replace what the spec's keys say otherwise; one number of `mean` or `std` stands for all channels.

    Raises
    ------
    InputError
        A value that is not of the key's form, or that no network can take.
    """
    options = {key: spec.options[key] for key in INPUT_OPTIONS if key in spec.options}
    changes: dict[str, Any] = {}
    if "size" in options:
        changes |= dict(zip(("height", "width"), _size(options["size"], spec), strict=True))
    if "order" in options:
        changes["channel_order"] = _order(options["order"], spec)
    channels = 1 if changes.get("channel_order", known.channel_order) in ONE_CHANNEL else 3
    for key in ("mean", "std"):
        if key in options:
            given = _numbers(key, options[key], spec, counts=(1, channels))
        elif len(getattr(known, key)) != channels:
            given = (0.5,)
        else:
            continue
        changes[key] = given * (channels if len(given) == 1 else 1)
    if "range" in options:
        changes["range"] = _numbers("range", options["range"], spec, counts=(2,))
    try:
        return replace(known, **changes)
    except InputError as error:
        raise InputError(f"{spec.text}: {error}") from error


def _size(value: str, spec: ModelSpec) -> tuple[int, int]:
    found = re.fullmatch(rf"({_SIDE})(?:x({_SIDE}))?", value)
    if found is None:
        raise InputError(
            f"{spec.text}: size={value} is no number of pixels; give one as in size=224, or height and width "
            "as in size=480x640"
        )
    return int(found[1]), int(found[2] or found[1])


def _order(value: str, spec: ModelSpec) -> ChannelOrder:
    for order in get_args(ChannelOrder):
        if value == order:
            return order  # type: ignore[no-any-return]
    raise InputError(f"{spec.text}: order={value} must be one of {', '.join(get_args(ChannelOrder))}")


def _numbers(key: str, value: str, spec: ModelSpec, *, counts: tuple[int, ...]) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in value.split("/"))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts or not all(abs(number) < 1e6 for number in numbers):
        wanted = " or ".join(str(count) for count in sorted(set(counts)))
        raise InputError(
            f"{spec.text}: {key}={value} must be {wanted} numbers parted by slashes, as in "
            f"{key}={'0/255' if key == 'range' else '0.485/0.456/0.406'}"
        )
    return numbers
