"""Materials: those that come with the models, repaired, and those of walls, floors, rugs and pictures."""

import colorsys
from pathlib import Path

import bpy
import numpy as np

from minizoo.assets import pictures
from minizoo.patterns import draw
from minizoo.sources import texture_files

__all__ = ["repair", "surface", "tinted"]

_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


def repair(material: bpy.types.Material, folder: Path) -> None:
    """Mend what the models' authors left broken; keep it between rooms.

    A texture that is missing renders magenta: take the folder's one picture, else the plain colour. OBJ
    materials come in too shiny and too clear: floors under roughness and opacity, so that glass stays a
    surface.
    """
    material.use_fake_user = True
    if not material.use_nodes:
        return
    tree = material.node_tree
    for node in [n for n in tree.nodes if n.type == "TEX_IMAGE"]:
        image = node.image
        if image is not None and Path(bpy.path.abspath(image.filepath)).exists() and image.size[0]:
            continue
        found = [path for path in folder.iterdir() if path.suffix.lower() in _PICTURE_SUFFIXES]
        colours = any(link.to_socket.name == "Base Color" for link in node.outputs["Color"].links)
        if colours and len(found) == 1:
            node.image = bpy.data.images.load(str(found[0]), check_existing=True)
        else:
            tree.nodes.remove(node)
    for node in tree.nodes:
        if node.type == "BSDF_PRINCIPLED":
            _limit(node.inputs["Roughness"], low=0.25)
            _limit(node.inputs["Metallic"], high=0.3)
            _limit(node.inputs["Alpha"], low=0.12)
            _limit(
                node.inputs["Emission Strength"], high=0.0
            )  # a vase that glows; lamps have their own light


def tinted(material: bpy.types.Material, tint: tuple[float, float, float, float]) -> bpy.types.Material:
    """Return a copy whose colour is turned in hue and multiplied."""
    copy = material.copy()
    copy.use_fake_user = False
    if not copy.use_nodes:
        return copy
    tree = copy.node_tree
    for node in [n for n in tree.nodes if n.type == "BSDF_PRINCIPLED"]:
        socket = node.inputs["Base Color"]
        if not socket.is_linked:
            hue, saturation, value = colorsys.rgb_to_hsv(*socket.default_value[:3])
            turned = colorsys.hsv_to_rgb((hue + tint[0]) % 1, saturation, value)
            socket.default_value = (*(c * t for c, t in zip(turned, tint[1:], strict=True)), 1)
            continue
        source = socket.links[0].from_socket
        turn = tree.nodes.new("ShaderNodeHueSaturation")
        turn.inputs["Hue"].default_value = (0.5 + tint[0]) % 1
        tree.links.new(source, turn.inputs["Color"])
        tree.links.new(_multiplied(tree, turn.outputs["Color"], tint[1:]), socket)
    return copy


def surface(spec: dict, scratch: list) -> bpy.types.Material:
    """Make the material of a surface; pictures made for it go into `scratch`, freed with the room."""
    material = bpy.data.materials.new(spec["type"])
    material.use_nodes = True
    tree = material.node_tree
    shader = tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = spec.get("rough", 0.6)
    shader.inputs["Specular IOR Level"].default_value = 0.3
    image = None
    if spec["type"] == "paint":
        shader.inputs["Base Color"].default_value = (*_linear(spec["color"]), 1)
    elif spec["type"] == "image":
        image = bpy.data.images.load(str(texture_files()[spec["name"]]), check_existing=True)
    elif spec["type"] == "picture":
        pool = pictures(unseen=spec["unseen"])
        image = bpy.data.images.load(
            str(pool[int(spec["pick"] * len(pool)) % len(pool)]), check_existing=True
        )
    else:
        image = _image(draw(spec["pattern"], spec["seed"], [_linear(c) for c in spec["colours"]]))
        scratch.append(image)
    if image is not None:
        _map(tree, image, spec.get("scale") or 0.0, spec.get("tint"), shader)
    return material


def _map(tree, image, scale: float, tint, shader) -> None:
    """Lay a picture along the UV map: UVs are metres where `scale` is given, else [0, 1]."""
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    if scale:
        coordinates, mapping = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeMapping")
        mapping.inputs["Scale"].default_value = (1 / scale, 1 / scale, 1)
        tree.links.new(coordinates.outputs["UV"], mapping.inputs["Vector"])
        tree.links.new(mapping.outputs["Vector"], node.inputs["Vector"])
    colour = node.outputs["Color"]
    tree.links.new(_multiplied(tree, colour, tint) if tint else colour, shader.inputs["Base Color"])


def _multiplied(tree, socket, factors):
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type, mix.blend_type = "RGBA", "MULTIPLY"
    mix.inputs[0].default_value = 1
    tree.links.new(socket, mix.inputs[6])
    mix.inputs[7].default_value = (*factors, 1)
    return mix.outputs[2]


def _image(picture: np.ndarray) -> bpy.types.Image:
    size = picture.shape[0]
    image = bpy.data.images.new("pattern", size, size, float_buffer=True)
    image.colorspace_settings.name = "Linear Rec.709"
    pixels = np.ones((size, size, 4), np.float32)
    pixels[..., :3] = picture[::-1]
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    return image


def _linear(color) -> tuple[float, ...]:
    """Colours are chosen as they look (sRGB); Cycles wants light."""
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color)


def _limit(socket, low: float = 0.0, high: float = 1.0) -> None:
    if not socket.is_linked:
        socket.default_value = min(max(socket.default_value, low), high)
