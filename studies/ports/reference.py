# ruff: noqa: E402 (what is patched comes before the imports)
"""Run one reference network in TensorFlow; called by prove.py, in the reference environment.

    python reference.py FOLDER MODEL ...

TF-Slim's own networks with drawn weights: written as the kind of checkpoint that the model was published
as, and run in float32 (every end point) and, at a small input, in float64 (target, and the gradient of its
sum with respect to the input). In FOLDER, number n of the models has a folder n with `input.npy` and
`small.npy`, [1, height, width, channels]; written there are `model.ckpt`, `stages.npz` and `double.npz`.
Models of one call have one graph, with weights of their own. Taskonomy's encoder is TF-Slim's ResNet
generator with Taskonomy's blocks.

Where tf_slim 1.1.0 expects an older TensorFlow than 2.15.1, modules that moved and the class of tensors are
given their old names; nothing that computes is touched.
"""

import contextlib
import importlib
import os
import sys
import types
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow
import tensorflow.compat.v1 as tf

for name in ("", ".normalization", ".convolutional", ".core", ".pooling", ".base"):
    sys.modules[f"tf_keras.legacy_tf_layers{name}"] = importlib.import_module(
        f"tf_keras.src.legacy_tf_layers{name}"
    )
from tensorflow.python.framework import ops

ops.Tensor = tensorflow.Tensor

import object_detection

# its networks import one another as `nets`
sys.path.insert(0, str(Path(next(iter(object_detection.__path__)))))
sys.path.insert(0, str(Path(__file__).parent))

import tf_slim as slim
from drawn import weights
from nets import inception_resnet_v2, inception_utils, inception_v3, mobilenet_v1, resnet_v1, vgg

VECTOR_TASKS = ("room_layout", "vanishing_point", "class_1000", "class_places")


def build(model: str, images, *, whole: bool):
    """Build a network.

    Parameters
    ----------
    whole
        With what the published graphs hold beside it (auxiliary heads).

    Returns
    -------
        Target, and end points by name.
    """
    source, _, name = model.partition(":")
    if source == "taskonomy":
        return taskonomy(name, images)
    if name.startswith("resnet_v1"):
        with slim.arg_scope(resnet_v1.resnet_arg_scope(batch_norm_decay=0.9)):
            logits, ends = getattr(resnet_v1, name)(images, 1000, is_training=False)
        return ends["global_pool"], ends | {"logits": logits}
    if name.startswith("vgg"):
        with slim.arg_scope(vgg.vgg_arg_scope()):
            logits, ends = getattr(vgg, name)(images, 1000, is_training=False)
        return ends[f"{name}/fc7"], ends | {"logits": logits}
    if name == "inception_v3":
        with slim.arg_scope(inception_utils.inception_arg_scope()):
            logits, ends = inception_v3.inception_v3(images, 1001, is_training=False, create_aux_logits=whole)
        return ends["PreLogits"], ends | {"logits": logits}
    if name == "inception_resnet_v2":
        with slim.arg_scope(inception_resnet_v2.inception_resnet_v2_arg_scope()):
            logits, ends = inception_resnet_v2.inception_resnet_v2(
                images, 1001, is_training=False, create_aux_logits=whole
            )
        return ends["PreLogitsFlatten"], ends | {"logits": logits}
    multiplier = {"100": 1.0, "050": 0.5, "025": 0.25}[name.split("_")[2]]
    with slim.arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(is_training=False)):
        logits, ends = mobilenet_v1.mobilenet_v1(
            images, 1001, is_training=False, depth_multiplier=multiplier, min_depth=1
        )
    return ends["AvgPool_1a"], ends | {"logits": logits}


def taskonomy(task: str, images):
    """Build Taskonomy's encoder: blocks of 3, 4, 6 and 3 units, the first two shrink at their ends."""
    block = resnet_v1.resnet_v1_block
    blocks = [
        block("block1", base_depth=64, num_units=3, stride=2),
        block("block2", base_depth=128, num_units=4, stride=2),
        block("block3", base_depth=256, num_units=6, stride=1),
        block("block4", base_depth=512, num_units=3, stride=1),
    ]
    scope = "feedforward" if task in VECTOR_TASKS else ""
    with tf.variable_scope(scope), slim.arg_scope(resnet_v1.resnet_arg_scope(batch_norm_decay=0.9)):
        net, ends = resnet_v1.resnet_v1(
            images, blocks, num_classes=None, is_training=False, global_pool=False, scope="encoder"
        )
        with slim.arg_scope([slim.batch_norm], is_training=False):
            code = slim.conv2d(net, 8, [3, 3], scope="compress1")
    return code, ends | {"compress1": code}


def leftovers(model: str) -> None:
    """Add what such checkpoints hold beside the network."""
    tf.train.get_or_create_global_step()
    source, _, name = model.partition(":")
    if source == "taskonomy":
        above = "feedforward/three_layer_fc_network/fc0" if name in VECTOR_TASKS else "decoder/conv2"
        kernel = tf.get_variable(f"{above}/weights", (3, 3, 8, 4))
        tf.get_variable("discriminator/conv1/weights", (3, 3, 4, 4))
        tf.train.AdamOptimizer().minimize(tf.reduce_sum(kernel), var_list=[kernel])
    elif name.startswith(("vgg", "resnet")):
        tf.get_variable(f"{name}/mean_rgb", (3,))


class Assignment:
    """Gives every variable of a graph's network its drawn value; what is left over keeps its initial one."""

    def __init__(self, session) -> None:
        self.session = session
        self.variables = tf.model_variables()
        self.values = [tf.placeholder(variable.dtype.base_dtype) for variable in self.variables]
        self.assign = [
            tf.assign(variable, value) for variable, value in zip(self.variables, self.values, strict=True)
        ]
        session.run(tf.global_variables_initializer())

    def draw(self, model: str) -> None:
        """Draw the weights of a model, and assign them at once: each run of a session costs a whole graph."""
        shapes = {variable.op.name: variable.shape.as_list() for variable in self.variables}
        drawn = weights(shapes, seed=model).values()
        self.session.run([assign.op for assign in self.assign], dict(zip(self.values, drawn, strict=True)))


def session():
    """Open a session without the rewriting of graphs, which takes longer than one run of them."""
    config = tf.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.Session(config=config)


def single(models: list, folders: list) -> None:
    """Run in float32, and save."""
    images = np.load(folders[0] / "input.npy")
    model = models[0]
    with tf.Graph().as_default(), session() as opened:
        placeholder = tf.placeholder(tf.float32, images.shape)
        target, ends = build(model, placeholder, whole=True)
        leftovers(model)
        assignment = Assignment(opened)
        version = tf.train.SaverDef.V2
        if model.startswith("slim:") and "mobilenet" not in model:
            version = tf.train.SaverDef.V1
        saver = tf.train.Saver(tf.global_variables(), write_version=version)
        asked = {name: end for name, end in ends.items() if isinstance(end, tf.Tensor)}
        for name, folder in zip(models, folders, strict=True):
            assignment.draw(name)
            saver.save(opened, str(folder / "model.ckpt"), write_meta_graph=False, write_state=False)
            images = np.load(folder / "input.npy")
            stages, value = opened.run([asked, target], {placeholder: images})
            plain = {stage.replace("/", "|"): array for stage, array in stages.items()}
            np.savez(folder / "stages.npz", TARGET=value, **plain)


def double(models: list, folders: list) -> None:
    """Run in float64, where TensorFlow's fused batch norm does not exist."""
    shape = np.load(folders[0] / "small.npy").shape
    with tf.Graph().as_default(), session() as opened:
        placeholder = tf.placeholder(tf.float64, shape)
        with plain_batch_norm():
            target, _ = build(models[0], placeholder, whole=False)
        gradient = tf.gradients(tf.reduce_sum(target), placeholder)[0]
        assignment = Assignment(opened)
        for name, folder in zip(models, folders, strict=True):
            assignment.draw(name)
            images = np.load(folder / "small.npy")
            values = opened.run([target, gradient], {placeholder: images})
            np.savez(folder / "double.npz", target=values[0], gradient=values[1])


@contextlib.contextmanager
def plain_batch_norm():
    """While open, `slim.batch_norm` computes its formula with separate operations (fused=False)."""
    from tf_slim.layers import layers

    kept = layers.normalization_layers

    def unfused(*args, **options):
        return kept.BatchNormalization(*args, **{**options, "fused": False})

    layers.normalization_layers = types.SimpleNamespace(**{**vars(kept), "BatchNormalization": unfused})
    try:
        yield
    finally:
        layers.normalization_layers = kept


def main() -> None:
    """Run what the command line names."""
    tf.disable_v2_behavior()
    models = sys.argv[2:]
    folders = [Path(sys.argv[1]) / str(number) for number in range(len(models))]
    single(models, folders)
    double(models, folders)


main()
