"""The twenty labels of a view, computed from its picture and its stored geometry alone."""

from minizoo.labels.compute import Labels, compute, shown
from minizoo.labels.tasks import NAMES, TARGET_SIZE

__all__ = ["NAMES", "TARGET_SIZE", "Labels", "compute", "shown"]
