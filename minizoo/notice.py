"""Attribution of every model, texture and sky that rooms may use: a NOTICE that ships with the views."""

from collections import defaultdict
from pathlib import Path

from minizoo import catalogue
from minizoo.paths import write_bytes
from minizoo.plan import DRY_FLOORS, WALLS, WET_FLOORS, WET_WALLS
from minizoo.sources import sky_files, texture_files

__all__ = ["NOTICE", "text", "write"]

NOTICE = Path(__file__).resolve().parent / "NOTICE.md"
_HEAD = """# NOTICE of the rendered rooms

The pictures of rooms (`rooms/`, and `minizoo/views/` of the repository) were rendered from the models,
textures and surroundings listed here. Those under CC BY ask that their authors be named wherever the
pictures go: keep this file with them. Models were scaled, recoloured and lit; no author endorses the result.
""".splitlines()
_TAIL = "Blender and Sweet Home 3D (both GPL) were used to make the pictures and are not part of them."
_ROBOSUITE = "MIT, (c) 2022 Stanford Vision and Learning Lab and UT Robot Perception and Learning Lab"
_ARCHIVES = {
    "BlendSwap-CC-0": "Blend Swap models collected for Sweet Home 3D, CC0 1.0 (public domain)",
    "BlendSwap-CC-BY": "Blend Swap models collected for Sweet Home 3D, CC BY 3.0",
    "KatorLegaz": "Andrew Kator and Jennifer Legaz, CC BY 3.0 US, (c) 2003-2008",
    "Scopia": "Scopia Visual Interfaces Systems, CC BY 3.0, (c) Emmanuel Puybaret / eTeks and Scopia",
    "sweethome3d": "Sweet Home 3D's own models, CC BY 3.0 or GNU GPL 2+, (c) Emmanuel Puybaret / eTeks",
}


def text() -> str:
    """Return the notice: archive, licence, creator, model."""
    lines = [*_HEAD, ""]
    items: dict[str, list[catalogue.Item]] = defaultdict(list)
    for item in catalogue.load().items.values():
        items[item.archive].append(item)
    for archive, title in _ARCHIVES.items():
        lines += [f"## {archive}: {title}", ""]
        creators: dict[str, list[str]] = defaultdict(list)
        for item in items[archive]:
            creators[item.creator or "eTeks"].append(f"{item.name} ({item.id.rsplit('#', 1)[-1]})")
        lines += [
            f"- {creator}: {', '.join(sorted(names))}" for creator, names in sorted(creators.items())
        ] + [""]
    lines += ["## Textures", ""]
    used = {*DRY_FLOORS, *WET_FLOORS, *WALLS, *WET_WALLS}
    files = {name: path for name, path in texture_files().items() if name in used}
    own = sorted(name for name, path in files.items() if "robosuite" not in path.parts)
    robosuite = sorted(set(files) - set(own))
    lines += [
        f"- Sweet Home 3D, (c) Emmanuel Puybaret / eTeks, CC BY 3.0 or GNU GPL 2+: {', '.join(own)}",
        f"- robosuite 1.5.2, {_ROBOSUITE}: {', '.join(robosuite)}",
        "- rugs, wallpapers, planks and tiles by `patterns.py`: made by this project",
        "",
        "## Surroundings (seen through windows, cut into pictures for the walls)",
        "",
    ]
    skies = sorted(sky_files())
    npm = [name for name in skies if not name.startswith("blender-")]
    lines += [
        f"- @pmndrs/assets 1.7.0, CC0 1.0: {', '.join(npm)}",
        f"- Blender 4.5 studio lights, CC0 1.0: {', '.join(name for name in skies if name not in npm)}",
        "",
        _TAIL,
        "",
    ]
    return "\n".join(lines)


def write() -> Path:
    """Write the notice beside the views."""
    write_bytes(NOTICE, text().encode())
    return NOTICE
