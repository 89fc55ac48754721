"""Predicted affinities against measured transfers, and one atlas against another. No torch, no terminals."""

from modelatlas.evaluation.comparison import Comparison, compare, mantel
from modelatlas.evaluation.document import details, document
from modelatlas.evaluation.losses import affinities_from_losses, read_losses
from modelatlas.evaluation.metrics import RELEVANT, Scores, score
from modelatlas.evaluation.mini import MINI_SETS, mini_transfers
from modelatlas.evaluation.names import match_names
from modelatlas.evaluation.prediction import Evaluation, evaluate, fixed_list
from modelatlas.evaluation.resampling import Difference, interval, paired_difference
from modelatlas.evaluation.taskonomy import TRAINING_SETS, taskonomy_transfers
from modelatlas.evaluation.transfers import TransferTable, read_transfers

__all__ = [
    "MINI_SETS",
    "RELEVANT",
    "TRAINING_SETS",
    "Comparison",
    "Difference",
    "Evaluation",
    "Scores",
    "TransferTable",
    "affinities_from_losses",
    "compare",
    "details",
    "document",
    "evaluate",
    "fixed_list",
    "interval",
    "mantel",
    "match_names",
    "mini_transfers",
    "paired_difference",
    "read_losses",
    "read_transfers",
    "score",
    "taskonomy_transfers",
]
