"""Map vectors -> affinity, ranking, tree. NumPy, SciPy and pandas only: no torch, no files, no networks."""

from modelatlas.space.accumulate import AffinityAccumulator, affinity
from modelatlas.space.bootstrap import Interval
from modelatlas.space.dead import dead_maps
from modelatlas.space.matrix import Affinity
from modelatlas.space.ranking import rank
from modelatlas.space.similarity import SIMILARITIES
from modelatlas.space.trees import LINKAGES, Tree, tree

__all__ = [
    "LINKAGES",
    "SIMILARITIES",
    "Affinity",
    "AffinityAccumulator",
    "Interval",
    "Tree",
    "affinity",
    "dead_maps",
    "rank",
    "tree",
]
