"""Names and sizes of the twenty labels. How an answer is judged is the training's business (`losses`).

Names follow Taskonomy (Zamir et al. 2018), so that published and measured affinities meet by name.
"""

__all__ = ["BINS", "NAMES", "TARGET_SIZE"]

TARGET_SIZE = 64
BINS = 259  # cells of width 10 of the ab plane that the sRGB gamut meets

NAMES = (
    "autoencoder", "class_1000", "class_places", "colorization", "curvature", "denoise", "edge2d", "edge3d",
    "inpainting_whole", "keypoint2d", "keypoint3d", "reshade", "rgb2depth", "rgb2mist", "rgb2sfnorm",
    "room_layout",
    "segment25d", "segment2d", "segmentsemantic", "vanishing_point",
)  # fmt: skip
