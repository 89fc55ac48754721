"""The published Taskonomy affinities, where the checkout has them beside it, and the paper's models."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "reference" / "taskonomy_first_order_affinities.csv"

PAPER = (
    *(
        "autoencoder",
        "class_1000",
        "class_places",
        "colorization",
        "curvature",
        "denoise",
        "edge2d",
        "edge3d",
    ),
    *("inpainting_whole", "keypoint2d", "keypoint3d", "reshade", "rgb2depth", "rgb2mist", "rgb2sfnorm"),
    *("room_layout", "segment25d", "segment2d", "segmentsemantic", "vanishing_point"),
)
"""The paper's 20 models."""


@pytest.fixture(scope="session")
def published() -> Path:
    """Path of the table in long form, with the training sets standard, 1k and 16k."""
    if not SHARED.is_file():
        pytest.skip(
            "needs ../shared/reference: Taskonomy's published affinities, which are not in this repository"
        )
    return SHARED
