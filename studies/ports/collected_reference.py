"""Run the authors' own code of the collected networks, with drawn weights (reference environment).

    .cache/ports/venv/bin/python studies/ports/collected_reference.py NETWORK REPOSITORIES OUT

REPOSITORIES holds the clones that prove_collected.py makes. OUT gets `weights` (TensorFlow V2; of the tiny
face detector the pickle that its code reads) and `reference.npz`: the tensors by name, the gradient of the
target's sum with respect to the input, and the numbers of variables and of values. All is float32 as the code
has it, but the colorization network, whose norm over four numbers makes much of rounding: float64. What the
old code imports and the forward pass does not use is stubbed: cv2, SciPy, neuralgym's training.
"""

import importlib
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import tensorflow
import tensorflow.compat.v1 as tf
from collected_draw import INPUTS, drawn, hole, images

tf.disable_v2_behavior()
tf.get_logger().setLevel("ERROR")


def stub(name: str, folder: Path | None = None, **content: Any) -> types.ModuleType:
    """Put an empty module in the place of one that the forward pass does not need."""
    module = types.ModuleType(name)
    module.__dict__.update(content)
    if folder is not None:
        module.__path__ = [str(folder)]
    sys.modules[name] = module
    return module


def old_tensorflow() -> None:
    """Let old code import TensorFlow 1, with tf_slim as what was tensorflow.contrib."""
    for part in ("", ".normalization", ".convolutional", ".core", ".pooling", ".base"):
        module = importlib.import_module(f"tf_keras.src.legacy_tf_layers{part}")
        sys.modules[f"tf_keras.legacy_tf_layers{part}"] = module
    from tensorflow.python.framework import ops

    ops.Tensor = tensorflow.Tensor
    import tf_slim
    from tf_keras.legacy_tf_layers import convolutional, normalization

    layers = stub(
        "tensorflow.layers",
        conv2d=convolutional.conv2d,
        conv2d_transpose=convolutional.conv2d_transpose,
        batch_normalization=normalization.batch_normalization,
    )
    scopes = {"arg_scope": tf_slim.arg_scope, "add_arg_scope": tf_slim.add_arg_scope}
    for name in ("framework.python.ops", "framework.python", "framework"):
        stub(f"tensorflow.contrib.{name}", **scopes)
    parts = [
        importlib.import_module(f"tf_slim.layers.{part}")
        for part in ("layers", "regularizers", "initializers")
    ]
    together = {
        name: value for part in parts for name, value in vars(part).items() if not name.startswith("__")
    }
    contrib = stub("tensorflow.contrib", layers=stub("tensorflow.contrib.layers", **together))
    old = stub("tensorflow", Path(tensorflow.__path__[0]), layers=layers, contrib=contrib)
    old.__getattr__ = lambda name: getattr(tf, name)
    stub("cv2")
    for name in ("scipy", "scipy.misc", "scipy.io"):
        stub(name)
    sys.modules["scipy"].misc, sys.modules["scipy"].io = sys.modules["scipy.misc"], sys.modules["scipy.io"]


def inpainting(code: Path, x: Any) -> dict:
    """JiahuiYu/generative_inpainting, branch v1.0.0, on neuralgym's own layers."""
    gym = code.parent / "neuralgym" / "neuralgym"
    ops = stub("neuralgym.ops", gym / "ops")
    stub("neuralgym", gym, ops=ops)
    stub("neuralgym.models", Model=type("Model", (), {"__init__": lambda self, name: None}))
    for name in ("loss_ops", "summary_ops", "gan_ops"):
        nothing = dict.fromkeys(
            ("scalar_summary", "images_summary", "gradients_summary", "gan_wgan_loss", "gradients_penalty",
             "random_interpolates")
        )  # fmt: skip
        stub(f"neuralgym.ops.{name}", **nothing)
    import inpaint_ops
    from inpaint_model import InpaintCAModel

    inpaint_ops.flow_to_image_tf = lambda flow: flow  # a picture for people, drawn by cv2
    mask = tf.constant(hole(*INPUTS["inpainting"])[None, ..., None])
    coarse, filled, _ = InpaintCAModel().build_inpaint_net(x, mask, training=False)
    graph = tf.get_default_graph()
    return {
        "coarse": coarse,
        "target": graph.get_tensor_by_name("inpaint_net/allconv12/Elu:0"),
        "output": filled,
    }


def fcrn(code: Path, x: Any) -> dict:
    """iro-cp/FCRN-DepthPrediction."""
    from models.fcrn import ResNet50UpProj

    network = ResNet50UpProj({"data": x}, 1, 1, False)
    names = {"pool1": "pool1", "res5c": "res5c_relu", "target": "layer1"}
    return {ours: network.layers[theirs] for ours, theirs in names.items()} | {"output": network.get_output()}


def prn(code: Path, x: Any) -> dict:
    """YadiraF/PRNet."""
    from predictor import resfcn256

    output = resfcn256()(x, is_training=False)
    graph = tf.get_default_graph()
    return {"target": graph.get_tensor_by_name("resfcn256/resBlock_9/Relu:0"), "output": output}


def fcn(code: Path, x: Any) -> dict:
    """shekkizh/FCN.tensorflow at 21 classes; its input is the picture itself, so the mean colour is added."""
    for name in ("read_MITSceneParsingData", "BatchDatsetReader"):
        stub(name)
    import FCN

    FCN.FLAGS([""])
    FCN.NUM_OF_CLASSESS = 21
    mean = np.array([123.68, 116.779, 103.939], np.float32)
    channels, layers = 3, []
    for name in (
        "64",
        "64",
        "p",
        "128",
        "128",
        "p",
        *(("256",) * 4),
        "p",
        *(("512",) * 4),
        "p",
        *(("512",) * 4),
    ):
        if name == "p":
            layers.append([[[[None]]]])
            continue
        kernel = np.zeros((3, 3, channels, int(name)), np.float32)
        layers += [[[[[(kernel, np.zeros((1, int(name)), np.float32))]]]], [[[[None]]]]]
        channels = int(name)
    flat = np.empty(len(layers), dtype=object)
    flat[:] = layers
    data = {"normalization": [[[np.broadcast_to(mean, (2, 2, 3))]]], "layers": flat}
    FCN.utils.get_model_data = lambda *_: data
    _, scores = FCN.inference(x + mean, tf.constant(1.0))
    graph = tf.get_default_graph()
    return {"target": graph.get_tensor_by_name("inference/BiasAdd_18:0"), "output": scores}


def tiny_face(code: Path, x: Any) -> dict:
    """cydonia999/Tiny_Faces_in_Tensorflow, from the pickle that prove_collected.py wrote."""
    from tiny_face_model import Model

    scores = Model(str(Path(sys.argv[3]) / "weights")).tiny_face(x)
    relus = [op.outputs[0] for op in tf.get_default_graph().get_operations() if op.type == "Relu"]
    return {"target": relus[-1], "output": scores}


def colorization(code: Path, x: Any) -> dict:
    """ImagingLab/Colorizing-with-GANs, the generator for Places365."""
    stub("src", code / "src")
    for name in ("src.dataset", "src.utils"):
        nothing = dict.fromkeys(
            ("Places365Dataset", "Cifar10Dataset", "TestDataset", "stitch_images", "turing_test", "imshow",
             "imsave", "create_dir", "visualize", "Progbar")
        )  # fmt: skip
        stub(name, **nothing)
    from src.models import Places365Model

    options = types.SimpleNamespace(training=False)
    generator = Places365Model.create_generator(types.SimpleNamespace(options=options))
    output = generator.create(x, 4, None)
    relus = [op.outputs[0] for op in tf.get_default_graph().get_operations() if op.type == "LeakyRelu"]
    return {"target": relus[-1], "output": output}


NETWORKS: dict[str, tuple[str, Callable]] = {
    "inpainting": ("generative_inpainting", inpainting),
    "fcrn": ("FCRN-DepthPrediction/tensorflow", fcrn),
    "prn": ("PRNet", prn),
    "fcn": ("FCN.tensorflow", fcn),
    "tiny_face": ("Tiny_Faces_in_Tensorflow", tiny_face),
    "colorization": ("Colorizing-with-GANs", colorization),
}


def main(network: str, repositories: Path, out: Path) -> None:
    """Run one network, and write what it gave."""
    folder, build = NETWORKS[network]
    sys.path.insert(0, str(repositories / folder))
    old_tensorflow()
    fed = images(network)
    x = tf.placeholder(tf.float64 if network == "colorization" else tf.float32, fed.shape)
    tensors = build(repositories / folder, x)
    gradient = tf.gradients(tf.reduce_sum(tensors["target"]), x)[0]
    variables = tf.global_variables()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        if network != "tiny_face":
            for variable in variables:
                variable.load(drawn(variable.op.name, tuple(variable.shape.as_list())), session)
            tf.train.Saver().save(session, str(out / "weights"), write_meta_graph=False, write_state=False)
        values = session.run(tensors | {"gradient": gradient}, {x: fed})
    sizes = {variable.op.name: variable.shape.as_list() for variable in variables}
    values["counts"] = np.array([len(sizes), sum(int(np.prod(shape)) for shape in sizes.values())])
    np.savez(out / "reference.npz", **values)
    print(json.dumps({"tensorflow": tf.__version__, "shapes": {k: list(v.shape) for k, v in values.items()}}))


main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
