"""What a catalogue item is: its kind (the pool a room picks from) and its semantic class (what a label says).

One table, read from the top: the first row that matches an item's category and whole name wins; an item that
no row matches is not used. Kinds are also the object classes of the task `class_1000`.
"""

import re
from typing import NamedTuple

__all__ = ["CLASSES", "KINDS", "PLACES", "SEMANTIC", "Kind", "kind_of"]

CLASSES = (
    "void", "wall", "floor", "ceiling", "window", "door", "bed", "sofa", "chair", "table", "cabinet", "lamp",
    "curtain", "rug", "plant", "picture", "electronics", "toilet", "sink", "bathtub", "appliance",
    "tableware",
    "toy", "instrument", "clothes", "other",
)  # fmt: skip

# The 17 classes of `segmentsemantic`: the largest by pixels in a survey of 222 views; the rest is masked.
SEMANTIC = (
    "wall", "floor", "ceiling", "table", "window", "cabinet", "door", "bed", "chair", "appliance", "curtain",
    "sofa", "rug", "lamp", "sink", "bathtub", "picture",
)  # fmt: skip

PLACES = (
    "living_room", "bedroom", "kitchen", "bathroom", "dining_room", "office", "child_room", "laundry",
    "music_room",
    "games_room",
)  # fmt: skip


class Kind(NamedTuple):
    """One pool of interchangeable items."""

    name: str
    cls: str
    categories: str
    names: str
    max_width: float = 4.0
    min_height: float = 0.0
    max_height: float = 2.6


_LIVING, _BED, _KITCHEN, _BATH, _OFFICE = "Living room", "Bedroom", "Kitchen", "Bathroom", "Office"
_LIGHT, _MISC, _OPENING, _OUT, _CAR = "Lights", "Miscellaneous", "Doors and windows", "Exterior", "Vehicles"

KINDS = (
    Kind("door", "door", _OPENING,
    r"Door|Double door|Double door with panes|Exterior door|Front door|Glass door"),
    Kind(
        "window", "window", _OPENING,
        r"Double-hung window|Double window.*|Double small window|Fixed window|Small window|Turn window|Window"
        r"|Outward opening window|Double French window.*|French window|Quadruple French window.*"
        r"|Triple French window|Slider window|Sliding window",
    ),
    Kind("curtain", "curtain", _MISC, r"Curtains?"),
    Kind("bed", "bed", _BED, r"Bed|Iron bed|Bed 140x190|Bed 90x190|Day bed|Captain's bed"),
    Kind("bunk_bed", "bed", _BED, r"Bunk bed|Mezzanine bed|Corner bunk bed|Loft bed 140x190"),
    Kind("child_bed", "bed", _BED, r"Child bed|Baby bed|Crib"),
    Kind("wardrobe", "cabinet", _BED, r"Wardrobe|Cupboard"),
    Kind("chest", "cabinet", f"{_BED}|{_LIVING}", r"Chest|Dresser|Dresser with drawers"),
    Kind("bedside_table", "cabinet", _BED, r"Bedside table"),
    Kind("dressing_table", "table", _BED, r"Dressing table|Changing table"),
    Kind("corner_sofa", "sofa", _LIVING, r"Corner sofa"),
    Kind("sofa", "sofa", f"{_LIVING}|{_BED}",
    r"Sofa.*|Couch|(Winchester|Burlap|Clear) sofa|Futon couch|Convertible.*"),
    Kind("armchair", "sofa", f"{_LIVING}|{_OUT}", r"(Winchester |Modern |Rattan )?[Aa]rmchair|Puff"),
    Kind("child_chair", "chair", _LIVING, r"Child chair|Children chair"),
    Kind(
        "chair", "chair", f"{_LIVING}|{_OUT}",
        r"Chair|Chair with cushion|(Oak|Osaka|Plastic|Folding|Cafe) chair", max_width=0.8,
        min_height=0.7,
    ),
    Kind("office_chair", "chair", _OFFICE, r"Chair|Armchair|Class seat"),
    Kind("bar_stool", "chair", f"{_KITCHEN}|{_LIVING}", r"Stool|Bar stool|Bar chair", min_height=0.7),
    Kind("stool", "chair", _LIVING, r"Stool|Piano bench|Bench"),
    Kind("high_chair", "chair", _KITCHEN, r"Baby high chair"),
    Kind("coffee_table", "table", f"{_LIVING}|{_OUT}", r"Coffee table|Rattan table|Table", 1.5,
    max_height=0.56),
    Kind(
        "dining_table", "table", f"{_LIVING}|{_OUT}",
        r"Table|(Oak|Round|Black|Square|Glass|Folding|Cafe) table|Table on trestles|Table with tablecloth",
        max_height=0.8,
    ),
    Kind("child_table", "table", _LIVING, r"Children table"),
    Kind("bar_table", "table", _LIVING, r"Bar table"),
    Kind(
        "desk", "table", f"{_OFFICE}|{_LIVING}",
        r"Desk|Desk table|Wooden (desk|table|alder table|teak table)",
        max_width=2.0, max_height=1.2,
    ),
    Kind("workbench", "table", _MISC, r"Workbench"),
    Kind("bookcase", "cabinet", f"{_LIVING}|{_OFFICE}|{_BED}", r".*[Bb]ookcase|Shelves|Vertical shelves"),
    Kind("glass_cabinet", "cabinet", _LIVING, r"Glass door cabinet"),
    Kind("tv_stand", "cabinet", _LIVING, r"TV stand|TV unit|Television cabinet"),
    Kind("sideboard", "cabinet", f"{_LIVING}|{_OFFICE}", r"Box"),
    Kind("fireplace", "appliance", _LIVING, r"Fireplace"),
    Kind("piano", "instrument", _LIVING, r"Piano|Upright piano|Grand piano"),
    Kind("guitar", "instrument", _LIVING, r"Electric guitar"),
    Kind("keyboard", "instrument", _LIVING, r"Keyboard"),
    Kind("television", "electronics", _LIVING, r"TV|TV 16:9|Flat TV"),
    Kind("wall_television", "electronics", _LIVING, r"Wall flat TV"),
    Kind("speaker", "electronics", _MISC, r"Speaker"),
    Kind(
        "media_player", "electronics", f"{_MISC}|{_LIVING}",
        r"Radio|Mini stereo|MP3 station|MP3 base|Stereo amplifier|DVD player|PlayStation",
    ),
    Kind("computer", "electronics", f"{_OFFICE}|{_LIVING}", r"Apple iMac.*|Laptop|Apple iBook"),
    Kind("printer", "electronics", _OFFICE, r"Inkjet printer and scanner"),
    Kind("phone", "electronics", f"{_OFFICE}|{_LIVING}", r"Phone|Wireless phone"),
    Kind(
        "plant", "plant", _LIVING, r"Plant|Decorative plant|Indoor plant|Yucca|Ficus|Spathiphyllum",
        min_height=0.55,
    ),
    Kind(
        "small_plant", "plant", _LIVING,
        r"Little plant|Cactus|Orchids|Bamboo|Bonsai tree|Tulips|Flowers|White lily|Spider plant"
        r"|Succulent plant"
        r"|Plant",
    ),
    Kind("aquarium", "other", _LIVING, r"Aquarium"),
    Kind("ceiling_lamp", "lamp", _LIGHT,
    r"Pendant lamp|Hanging light|Ceiling lamp|Track lights|Fluorescent light"),
    Kind("floor_lamp", "lamp", _LIGHT, r"Floor uplight|Lamp", min_height=1.2),
    Kind(
        "table_lamp", "lamp", _LIGHT,
        r"Lamp|Little lamp|Desk lamp|Work lamp|Pedestal vase lamp|Japanese lantern|Candle",
    ),
    Kind("wall_lamp", "lamp", _LIGHT, r"Wall light|Wall uplight|Wall lamp artwork"),
    Kind(
        "base_cabinet", "cabinet", _KITCHEN,
        r"Lower cabinet|Drawers cabinet|Kitchen cabinet|Small lower cabinet", max_width=1.0,
    ),
    Kind("tall_cabinet", "cabinet", _KITCHEN, r"High cabinet"),
    Kind("kitchen_sink", "sink", _KITCHEN, r"Sink|Sink cabinet"),
    Kind("cooker", "appliance", _KITCHEN, r"Cooker|Large stove|Double oven", min_height=0.5),
    Kind("dishwasher", "appliance", _KITCHEN, r"Dishwasher"),
    Kind("fridge", "appliance", _KITCHEN, r"Fridge|Refrigerator|Large fridge|Fridge & Freezer"),
    Kind("washing_machine", "appliance", _KITCHEN, r"Washing machine|Clothes wash.*|Dryer machine"),
    Kind("freezer", "appliance", _KITCHEN, r"Chest freezer"),
    Kind(
        "wall_cabinet", "cabinet", _KITCHEN,
        r"Upper cabinet|Small upper cabinet|Kitchen upper cabinet|Upper shelves cabinet|Glass door cabinet",
    ),
    Kind("hood", "appliance", _KITCHEN, r"Hood|Range hood"),
    Kind("island", "table", _KITCHEN, r"Island"),
    Kind(
        "kitchen_appliance", "appliance", _KITCHEN,
        r"Mixer|Blender|Coffee (brewer|machine|maker)|Toaster|Microwave|Deep fryer|Sandwich maker|Small oven"
        r"|Oven"
        r"|Boiler|Kitchen scale|Squeezer",
    ),
    Kind(
        "tableware", "tableware", _KITCHEN,
        r"Glass|Cup|Coffee (cup|mug|press)|Bowl|Plate.*|Oval plate|Teapot|Wine bottle|Beer bottle"
        r"|Cocktail glass"
        r"|Beer glass|Tray|Large pan|Old jar|Pottery|Oil servers|Utensils pot|Knife stand|Kitchen tools"
        r"|Spice tower"
        r"|Paper towel holder|Bread box|Espresso kettle|Creamer|Sugar",
    ),
    Kind(
        "food", "tableware", _KITCHEN,
        r"Apples|Bread|Bowl with (fruits|salad)|Birthday cake|Cup cake|Roasted chicken|Hamburger|Milk"
        r"|Sushi tray"
        r"|French fries|Yogurt bottle|Steak",
    ),
    Kind("bin", "other", f"{_KITCHEN}|{_OFFICE}|{_MISC}", r"Bullet trash can|Dustbin|Recycling bin"),
    Kind("bathtub", "bathtub", _BATH, r"Bath|Corner bathtub|Fitted bath|Island bath"),
    Kind("shower", "bathtub", _BATH, r"Shower|Shower stall"),
    Kind("toilet", "toilet", _BATH, r"Toilet unit|Toilets unit"),
    Kind("bidet", "toilet", _BATH, r"Bidet"),
    Kind("washbasin", "sink", _BATH, r"Washbasin|Washbasin with cabinet|Vanity|Double vanity|Small lavatory"),
    Kind("towel_rack", "clothes", _BATH, r"Towel rack"),
    Kind("bath_radiator", "appliance", _BATH, r"Radiator"),
    Kind(
        "toiletry", "other", _BATH,
        r"Bottle|Soap|Flacon|Brush|Cosmetics pot|Medicine bottle|Sponge|Comb|Lip stick|Towel", max_height=0.4,
    ),
    Kind("laundry_basket", "other", _BATH, r"Clothes basket"),
    Kind("filing_cabinet", "cabinet", _OFFICE, r"Filing cabinet|Safe"),
    Kind("water_cooler", "appliance", _OFFICE, r"Water cooler"),
    Kind("white_board", "other", _OFFICE, r"White board"),
    Kind("stationery", "other", f"{_OFFICE}|{_MISC}",
    r"Penbox|Letter tray|Stapler|Calendar|Scissors|Book|Newspaper"),
    Kind("floor_toy", "toy", f"{_BED}|{_CAR}|{_MISC}",
    r"Rocking horse|Doll house|Tricycle|Skateboard|Basketball|Soccer ball"),
    Kind(
        "toy", "toy", _BED,
        r"Teddy bear|Toy train|Xylophone|Car model|Biplane|Doll|Wood toy|Rubik's cube|Chessboard|Puzzle",
    ),
    Kind("radiator", "appliance", _MISC, r"Radiator|Electric radiator|Hot water radiator", max_width=1.6),
    Kind("box", "other", _MISC, r"Cardboard box|Open cardboard box|Crate"),
    Kind("trunk", "cabinet", _MISC, r"Trunck"),
    Kind("fitness", "other", _MISC, r"Indoor bike|Treadmill|Punching ball|Abdominal bench"),
    Kind("game_table", "table", _MISC, r"Pool table|Football table|Table tennis"),
    Kind("pinball", "other", _MISC, r"Flipper"),
    Kind("drying_rack", "clothes", f"{_MISC}|{_BED}", r"Clothes horse|Clothes rack"),
    Kind("clothes", "clothes", _BED, r"Folded clothes|Sneakers|Woman shoes|Slippers|Handbag|Hat|Cap"),
    Kind("luggage", "clothes", f"{_MISC}|{_BED}", r"Backpack|Suitcase|Briefcase"),
    Kind("step_ladder", "other", _MISC, r"(Small s|S)tep ladder"),
    Kind("vase", "tableware", _MISC, r"Vase"),
    Kind("fan", "appliance", _MISC, r"Table fan|Rigged fan"),
    Kind("screen", "other", _MISC, r"Screen"),
    Kind("air_conditioner", "appliance", _MISC, r"Air conditioning - Internal unit"),
    Kind("water_heater", "appliance", _MISC, r"Electric water heater|Gaz water heater"),
    Kind("clock", "other", _MISC, r"Cuckoo clock"),
    Kind("dart_board", "toy", _MISC, r"Dart game"),
)  # fmt: skip

_COMPILED = [(kind, re.compile(kind.names)) for kind in KINDS]
# Found on a sheet of all models: a ceiling lamp that is called a lamp; things that lie too large, hang in the
# air, or whose texture is laid wrongly.
_OVERRIDES = {
    "lamp2": "ceiling_lamp", "pianoAQueue": None, "ps4-joystick": None, "wardrobeWithSlidingDoors": None,
    "knifeStandSwap": None, "kitchenTools": None, "arbolito": None,
}  # fmt: skip


def kind_of(item: str, name: str, category: str, size: tuple[float, float, float]) -> Kind | None:
    """Return the kind of a catalogue item, or None where the rooms do not use it."""
    short = item.rsplit("#", 1)[-1]
    if short in _OVERRIDES:
        wanted = _OVERRIDES[short]
        return next((k for k in KINDS if k.name == wanted), None)
    for kind, pattern in _COMPILED:
        fits = size[0] <= kind.max_width and kind.min_height <= size[2] <= kind.max_height
        if fits and category in kind.categories.split("|") and pattern.fullmatch(name):
            return kind
    return None
