"""Maker of the shipped mini-Taskonomy: furnished rooms, their renders, twenty kinds of labels.

Not in the library's wheel and imported by nothing in it. `python -m minizoo --help` lists the commands.
Rooms are planned without a renderer (`plan`, `furnish`, `layout`), so that everything but `scene`, `camera`
and `render` runs and is tested without Blender.
"""
