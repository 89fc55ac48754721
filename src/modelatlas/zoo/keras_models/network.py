"""A Keras model as a torch module that takes [N, C, H, W].

Keras layers on the torch backend are torch modules, and calling one runs torch's hooks; but a Keras model
keeps its layers where torch does not look for them. Here each is a submodule under its own name, so that it
can be named as a target layer. So is each operation that is no layer (a sum written as `a + b`: the residual
stream of some networks). Keras wants channels last; batch norms and dropouts run as in inference.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from modelatlas.zoo.keras_models.backend import keras_on_torch
from modelatlas.zoo.preprocess import Preprocess

__all__ = ["KerasNetwork"]


class Operation(nn.Module):
    """An operation of a Keras graph that is no layer."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self._call = call

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Whatever the operation does."""
        return self._call(*args, **kwargs)


class KerasNetwork(nn.Module):
    """A Keras model with one image input.

    Attributes
    ----------
    preprocess
        What it expects.
    """

    def __init__(self, model: Any, preprocess: Preprocess) -> None:
        super().__init__()
        model.trainable = True  # what is still not trainable then are statistics
        self._statistics = {id(variable.value) for variable in model.non_trainable_variables}
        self._held = [model]  # in a list, or torch would register the model's parameters twice
        self.preprocess = preprocess
        for layer in model._flatten_layers(include_self=True, recursive=True):
            if layer is not model and type(layer).__name__ != "InputLayer":
                self.add_module(_free_name(layer.name, self._modules), layer)
            for operation in getattr(layer, "operations", ()):
                if not isinstance(operation, nn.Module):
                    operation.call = Operation(operation.call)
                    self.add_module(_free_name(operation.name, self._modules), operation.call)

    @property
    def keras_model(self) -> Any:
        """The Keras model itself."""
        return self._held[0]

    def forward(self, images: Tensor) -> Any:
        """[N, C, H, W] -> what the model returns, channels last."""
        keras = keras_on_torch()
        with keras.device(_device_name(images.device)):
            return self.keras_model(images.permute(0, 2, 3, 1), training=False)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Trainable weights: Keras keeps the statistics of batch norms as parameters too."""
        for name, parameter in super().named_parameters(prefix, recurse, remove_duplicate):
            if id(parameter) not in self._statistics:
                yield name, parameter

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Weights and statistics, without the seeds of dropouts, which Keras keeps among them."""
        state = super().state_dict(*args, **kwargs)
        for name in [name for name in state if name.endswith("seed_generator_state")]:
            del state[name]
        return state


def _free_name(name: str, taken: Any) -> str:
    """Name for a submodule: torch's may hold no dots."""
    plain = name.replace(".", "_")
    return plain if plain not in taken else f"{plain}_{len(taken)}"


def _device_name(device: torch.device) -> str:
    return f"{device.type}:{device.index or 0}" if device.type != "cpu" else "cpu"
