"""Makes torchvision importable beside a CPU build of torch, before any test imports timm or Zennit."""

from modelatlas.zoo._torchvision_ops import declare_missing_ops

declare_missing_ops()
