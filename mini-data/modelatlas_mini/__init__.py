"""Data of ModelAtlas, read by it: the probe `rooms`, the zoo `mini` and its measured transfers.

Nothing but files; `modelatlas.fetch.mini_data` finds them.
"""
