"""Turn a planned room into a Blender scene: shell, openings, models, lights.

Axes: an OBJ's x right, y up, front +z becomes Blender's z up, front -y; so a thing with `turns` 0 has its
back to y = depth. Every model is imported once per process, stretched to its catalogue size and shared
between copies.
"""

import math
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

from minizoo.assets import skies
from minizoo.catalogue import Catalogue, Item
from minizoo.geometry import Opening, Placement, Room, inward, wall_length, wall_point
from minizoo.materials import repair, surface, tinted

__all__ = ["Stage"]

_OBJ_TO_BLENDER = Matrix(((1, 0, 0), (0, 0, -1), (0, 1, 0)))
_THICKNESS = 0.25
_SKIRTING = (0.07, 0.012)  # height, depth: less than the 2 cm that furniture keeps from the wall


class Stage:
    """Holds the model cache; `build` replaces the room in Blender's one scene."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._meshes: dict[str, list[bpy.types.Mesh]] = {}
        self._scratch: list = []
        self.instances: list[dict] = []

    def build(self, room: Room, split: str) -> list[dict]:
        """Build a room; instance k + 1 of the index pass is entry k of what is returned."""
        self._clear()
        self._shell(room)
        for opening in room.openings:
            self._opening(room, opening)
        for index, placed in enumerate(room.placements):
            if placed.support is None:
                self._put(placed, index)
        self._settle(room)
        self._light(room, split)
        return self.instances

    # -- things

    def _clear(self) -> None:
        # Cycles keeps generated pictures by address between renders: a new room's planks would be drawn with
        # the last room's tiles. Switching this off frees all that it kept; views of one room still share it.
        render = bpy.context.scene.render
        render.use_persistent_data = False
        render.use_persistent_data = True
        for thing in list(bpy.data.objects):
            bpy.data.objects.remove(thing)
        for pool in (bpy.data.meshes, bpy.data.materials):
            for block in list(pool):
                if not block.use_fake_user:
                    pool.remove(block)
        for lamp in list(bpy.data.lights):
            bpy.data.lights.remove(lamp)
        for image in self._scratch:
            bpy.data.images.remove(image)
        self._scratch, self.instances = [], []

    def _instance(self, item: str, kind: str, cls: str, placement: int | None = None) -> int:
        self.instances.append({"item": item, "kind": kind, "cls": cls, "placement": placement})
        return len(self.instances)

    def _link(self, mesh: bpy.types.Mesh, number: int, place: Matrix | None = None) -> bpy.types.Object:
        thing = bpy.data.objects.new(mesh.name, mesh)
        thing.pass_index = number
        if place is not None:
            thing.matrix_world = place
        bpy.context.scene.collection.objects.link(thing)
        return thing

    def _put(self, placed: Placement, index: int) -> int:
        number = self._instance(placed.item, placed.kind, placed.cls, index)
        place = Matrix.Translation((placed.x, placed.y, placed.z)) @ Matrix.Rotation(
            placed.turns * math.pi / 2, 4, "Z"
        )
        if placed.surface is not None:
            self._made(placed, number, place)
            return number
        item = self.catalogue.items[placed.item]
        stretch = Matrix.Diagonal((*(a / b for a, b in zip(placed.size, item.size, strict=True)), 1))
        for mesh in self.meshes(item):
            thing = self._link(mesh, number, place @ stretch)
            if placed.tint is not None:
                for slot in thing.material_slots:
                    if slot.material is not None:
                        material = tinted(slot.material, placed.tint)
                        slot.link = "OBJECT"
                        slot.material = material
        return number

    def _made(self, placed: Placement, number: int, place: Matrix) -> None:
        """Rugs are a slab with one picture; framed pictures are a slab and a sheet 2 mm before it."""
        width, depth, height = placed.size
        spec = placed.surface or {}
        if placed.kind == "rug":
            self._add(
                "rug", [_top_face(width, depth, height), *_sides(width, depth, height)], spec, number, place
            )
            return
        wood = {"type": "paint", "color": spec["frame"], "rough": 0.4}
        self._add("frame", _sides(width, depth, height), wood, number, place)
        inner = 1 - 2 * min(0.09, 0.03 / min(width, height))
        if spec.get("mat"):
            paper = {"type": "paint", "color": (0.9, 0.89, 0.85), "rough": 0.9}
            self._add("mat", [_front(width, depth, height, inner, 0.001)], paper, number, place)
            inner *= 0.72
        self._add(
            "picture", [_front(width, depth, height, inner, 0.002)], {**spec, "rough": 0.5}, number, place
        )

    def _add(self, name: str, quads: list, spec: dict, number: int, place: Matrix | None = None) -> None:
        mesh = _mesh(name, quads)
        mesh.materials.append(surface(spec, self._scratch))
        self._link(mesh, number, place)

    def meshes(self, item: Item) -> list[bpy.types.Mesh]:
        """Meshes of a model in metres, origin in the middle of the footprint, lowest point at 0."""
        if item.id in self._meshes:
            return self._meshes[item.id]
        objects, materials = set(bpy.data.objects), set(bpy.data.materials)
        bpy.ops.wm.obj_import(filepath=str(item.path), use_split_objects=False, use_split_groups=False)
        turn = Matrix.Identity(3)
        if item.rotation is not None:
            rows = Matrix((item.rotation[0:3], item.rotation[3:6], item.rotation[6:9]))
            turn = _OBJ_TO_BLENDER @ rows @ _OBJ_TO_BLENDER.transposed()
        low, high, kept = np.full(3, np.inf), np.full(3, -np.inf), []
        for thing in [o for o in bpy.data.objects if o not in objects]:
            if thing.type == "MESH" and len(thing.data.vertices):
                mesh = thing.data
                mesh.transform(turn.to_4x4() @ thing.matrix_world)
                points = np.empty(3 * len(mesh.vertices), np.float32)
                mesh.vertices.foreach_get("co", points)
                low = np.minimum(low, points.reshape(-1, 3).min(0))
                high = np.maximum(high, points.reshape(-1, 3).max(0))
                kept.append(mesh)
            bpy.data.objects.remove(thing)
        scale = np.array(item.size) / np.maximum(high - low, 1e-6)
        middle = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2])
        fit = Matrix.Diagonal((*map(float, scale), 1)) @ Matrix.Translation([-float(c) for c in middle])
        for mesh in kept:
            mesh.transform(fit)
            mesh.use_fake_user = True
        for material in [m for m in bpy.data.materials if m not in materials]:
            repair(material, Path(item.path).parent)
        self._meshes[item.id] = kept
        return kept

    def _settle(self, room: Room) -> None:
        """Let things that stand on others down onto the real surface, or leave them out.

        Catalogue heights are of the highest point or of a guess, so a vase may hover over a seat or stand in
        a backrest. Five rays from above must meet the support within 12 mm of one height, with air above.
        """
        numbers = {entry["placement"]: k + 1 for k, entry in enumerate(self.instances)}
        scene = bpy.context.scene
        for index, placed in enumerate(room.placements):
            if placed.support is None or placed.support not in numbers:
                continue
            bpy.context.view_layer.update()
            graph = bpy.context.evaluated_depsgraph_get()
            host = room.placements[placed.support]
            half_x, half_y = 0.42 * placed.size[0], 0.42 * placed.size[1]
            angle = placed.turns * math.pi / 2
            c, s = math.cos(angle), math.sin(angle)
            heights = []
            for u, v in ((0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1)):
                x, y = placed.x + u * half_x * c - v * half_y * s, placed.y + u * half_x * s + v * half_y * c
                top = max(placed.z, host.z + host.size[2]) + 0.02
                hit, at, _, _, thing, _ = scene.ray_cast(graph, Vector((x, y, top)), Vector((0, 0, -1)))
                heights.append(at.z if hit and thing.pass_index == numbers[placed.support] else math.nan)
            if not np.isfinite(heights).all() or max(heights) - min(heights) > 0.012 or min(heights) < 0.25:
                continue
            level = max(heights) + 0.001
            up = Vector((0, 0, 1))
            blocked = scene.ray_cast(
                graph, Vector((placed.x, placed.y, level + 0.01)), up, distance=placed.size[2]
            )[0]
            if blocked:
                continue
            room.placements[index] = placed = Placement(**{**placed.__dict__, "z": level})
            numbers[index] = self._put(placed, index)

    # -- shell

    def _shell(self, room: Room) -> None:
        width, depth, height = room.size
        for wall in range(4):
            number = self._instance(f"maker#wall{wall}", "wall", "wall")
            holes = sorted(_hole(o) for o in room.openings if o.wall == wall)
            self._add("wall", _wall_quads(room, wall, holes), room.surfaces[f"wall{wall}"], number)
            strip = _skirting_quads(room, wall, holes)
            if strip:
                self._add("skirting", strip, room.surfaces["skirting"], number)
        e = 0.3
        for name, z in (("floor", 0.0), ("ceiling", height)):
            corners = [(-e, -e, z), (width + e, -e, z), (width + e, depth + e, z), (-e, depth + e, z)]
            metres = [(0, 0), (width + 2 * e, 0), (width + 2 * e, depth + 2 * e), (0, depth + 2 * e)]
            number = self._instance(f"maker#{name}", name, name)
            self._add(name, [(corners, metres)], room.surfaces[name], number)

    def _opening(self, room: Room, opening: Opening) -> None:
        """Set a door or window into its hole, its frame a little proud of the wall: flush faces flicker."""
        item = self.catalogue.items[opening.item]
        number = self._instance(item.id, item.kind, opening.cls)
        depth = item.size[1]
        out = depth / 2 - min(_THICKNESS, 0.75 * depth) + 0.004
        x, y = wall_point(room.size, opening.wall, opening.centre, out)
        place = Matrix.Translation((x, y, opening.sill)) @ Matrix.Rotation(opening.wall * math.pi / 2, 4, "Z")
        for mesh in self.meshes(item):
            self._link(mesh, number, place)

    # -- light

    def _light(self, room: Room, split: str) -> None:
        light, scene = room.light, bpy.context.scene
        for opening in room.openings:
            if opening.cls != "window":
                continue
            lamp = bpy.data.lights.new("window", "AREA")
            lamp.shape, lamp.size, lamp.size_y = "RECTANGLE", 0.95 * opening.width, 0.95 * opening.height
            lamp.energy = light["sun"] * opening.width * opening.height
            lamp.color = (1, 0.93, 0.82) if light["warm_sky"] else (0.9, 0.96, 1)
            x, y = wall_point(room.size, opening.wall, opening.centre, -_THICKNESS - 0.05)
            thing = bpy.data.objects.new("window", lamp)
            thing.location = (x, y, opening.sill + opening.height / 2)
            thing.rotation_euler = Vector((*inward(opening.wall), 0)).to_track_quat("-Z", "Y").to_euler()
            thing.visible_camera = False
            scene.collection.objects.link(thing)
        lamp = bpy.data.lights.new("ceiling", "POINT")
        lamp.shadow_soft_size, lamp.color = 0.12, light["lamp_color"]
        windows = sum(o.cls == "window" for o in room.openings)
        lamp.energy = light["lamp"] if windows else max(light["lamp"], 80)
        thing = bpy.data.objects.new("ceiling", lamp)
        thing.location = light["lamp_at"]
        thing.visible_camera = False
        scene.collection.objects.link(thing)
        _set_sky(skies(split, day=light["day"]), light)


def _set_sky(pool: tuple[Path, ...], light: dict) -> None:
    scene = bpy.context.scene
    if scene.world is None:
        scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    tree = scene.world.node_tree
    background = tree.nodes["Background"]
    node = tree.nodes.get("sky") or tree.nodes.new("ShaderNodeTexEnvironment")
    node.name = "sky"
    turn = tree.nodes.get("turn") or tree.nodes.new("ShaderNodeMapping")
    turn.name = "turn"
    coordinates = tree.nodes.get("where") or tree.nodes.new("ShaderNodeTexCoord")
    coordinates.name = "where"
    turn.inputs["Rotation"].default_value = (0, 0, light["turn"] * 2 * math.pi)
    node.image = bpy.data.images.load(
        str(pool[int(light["sky"] * len(pool)) % len(pool)]), check_existing=True
    )
    tree.links.new(coordinates.outputs["Generated"], turn.inputs["Vector"])
    tree.links.new(turn.outputs["Vector"], node.inputs["Vector"])
    tree.links.new(node.outputs["Color"], background.inputs["Color"])
    background.inputs["Strength"].default_value = 1.3 if light["day"] else 0.06


def _hole(opening: Opening) -> tuple[float, float, float, float]:
    half = opening.width / 2
    return opening.centre - half, opening.centre + half, opening.sill, opening.sill + opening.height


def _wall_quads(room: Room, wall: int, holes: list) -> list:
    """Rectangles round the holes of one wall, and the reveals inside them; UVs in metres."""
    length, height = wall_length(room.size, wall), room.size[2]
    quads: list = []

    def at(t: float, out: float, z: float) -> tuple[float, float, float]:
        return (*wall_point(room.size, wall, t, -out), z)

    def rectangle(t0: float, t1: float, z0: float, z1: float) -> None:
        if t1 - t0 > 1e-4 and z1 - z0 > 1e-4:
            uv = [(t0, z0), (t1, z0), (t1, z1), (t0, z1)]
            quads.append(([at(t, 0, z) for t, z in uv], uv))

    done = 0.0
    for t0, t1, z0, z1 in holes:
        rectangle(done, t0, 0, height)
        rectangle(t0, t1, 0, z0)
        rectangle(t0, t1, z1, height)
        for (ta, za), (tb, zb) in (
            ((t0, z0), (t1, z0)),
            ((t0, z1), (t1, z1)),
            ((t0, z0), (t0, z1)),
            ((t1, z0), (t1, z1)),
        ):
            corners = [at(ta, 0, za), at(tb, 0, zb), at(tb, _THICKNESS, zb), at(ta, _THICKNESS, za)]
            quads.append((corners, [(0, 0), (0.5, 0), (0.5, _THICKNESS), (0, _THICKNESS)]))
        done = t1
    rectangle(done, length, 0, height)
    return quads


def _skirting_quads(room: Room, wall: int, holes: list) -> list:
    """Lay a board along the foot of a wall, interrupted by doors."""
    high, thick = _SKIRTING
    quads, done = [], 0.0
    for t0, t1 in [(h[0] - 0.03, h[1] + 0.03) for h in holes if h[2] < high] + [
        (wall_length(room.size, wall), None)
    ]:
        if t0 - done > 0.02:
            a, b = wall_point(room.size, wall, done, thick), wall_point(room.size, wall, t0, thick)
            c, d = wall_point(room.size, wall, t0, 0), wall_point(room.size, wall, done, 0)
            uv = [(0, 0), (1, 0), (1, 1), (0, 1)]
            quads.append(([(*a, 0), (*b, 0), (*b, high), (*a, high)], uv))
            quads.append(([(*a, high), (*b, high), (*c, high), (*d, high)], uv))
        done = t1 if t1 is not None else done
    return quads


def _front(width: float, depth: float, height: float, share: float, out: float) -> tuple:
    """Rectangle on the front (-y) of a slab, shrunk to `share` of its smaller side's margin."""
    margin = (1 - share) / 2 * min(width, height)
    x, z0, z1, y = width / 2 - margin, margin, height - margin, -depth / 2 - out
    return [(-x, y, z0), (x, y, z0), (x, y, z1), (-x, y, z1)], [(0, 0), (1, 0), (1, 1), (0, 1)]


def _top_face(width: float, depth: float, height: float) -> tuple:
    x, y = width / 2, depth / 2
    corners = [(-x, -y, height), (x, -y, height), (x, y, height), (-x, y, height)]
    return corners, [(0, 0), (1, 0), (1, 1), (0, 1)]


def _sides(width: float, depth: float, height: float) -> list:
    x, y = width / 2, depth / 2
    ring = [(-x, -y), (x, -y), (x, y), (-x, y)]
    flat = [(0.01, 0.01), (0.02, 0.01), (0.02, 0.02), (0.01, 0.02)]
    pairs = zip(ring, ring[1:] + ring[:1], strict=True)
    walls = [([(*a, 0), (*b, 0), (*b, height), (*a, height)], flat) for a, b in pairs]
    return (
        [*walls, ([(*p, height) for p in ring], flat), ([(*p, 0) for p in ring], flat)]
        if depth < 0.1
        else walls
    )


def _mesh(name: str, quads: list) -> bpy.types.Mesh:
    mesh = bpy.data.meshes.new(name)
    points = [corner for corners, _ in quads for corner in corners]
    faces = [tuple(range(4 * k, 4 * k + 4)) for k in range(len(quads))]
    mesh.from_pydata(points, [], faces)
    layer = mesh.uv_layers.new(name="UVMap")
    for k, uv in enumerate(point for _, metres in quads for point in metres):
        layer.data[k].uv = uv
    return mesh
