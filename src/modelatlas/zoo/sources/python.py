"""`python:<module>:<factory>`: networks that the user's own code makes.

The factory is called without arguments and returns a `torch.nn.Module`, or a pair of one and a
`Preprocess`. Without one the input is 224 x 224, RGB, ImageNet mean and std; the keys of `input_options` say
otherwise. The module is looked for as `python -m` would: in the current folder first. It runs only with
`--trust-code`.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from modelatlas.errors import InputError, ModelError
from modelatlas.zoo._torchvision_ops import declare_missing_ops
from modelatlas.zoo.card import ModelCard
from modelatlas.zoo.input_options import INPUT_OPTIONS
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.spec import ModelSpec

__all__ = ["PythonSource"]


class PythonSource:
    """The user's own code."""

    prefix = "python"
    summary = "python:<module>:<factory>, your own code (needs --trust-code)"
    options = INPUT_OPTIONS
    runs_user_code = True

    def names(self) -> Sequence[str]:
        """Nothing: any importable module may hold a factory."""
        return ()

    def card(self, spec: ModelSpec) -> ModelCard:
        """Card with the name; the rest is known once the code ran."""
        _module_and_factory(spec)
        return ModelCard(name=spec.text, spec=spec.text)

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Call the factory; `pretrained` is its own business."""
        module_name, factory_name = _module_and_factory(spec)
        declare_missing_ops()  # most networks import timm or torchvision somewhere
        with _current_folder_first():
            try:
                module = importlib.import_module(module_name)
            except ModuleNotFoundError as error:
                raise InputError(
                    f"{spec.text}: no module {error.name!r} in the current folder or installed; "
                    "run from the folder that holds it, or install it"
                ) from error
        factory = getattr(module, factory_name, None)
        if isinstance(factory, nn.Module):  # which is callable too
            raise InputError(
                f"{spec.text}: {module_name}.{factory_name} is a network, not what makes one; name a "
                f"function without arguments, as in `def make(): return {factory_name}`"
            )
        if not callable(factory):
            raise InputError(f"{spec.text}: {module_name} has no callable {factory_name!r}")
        made = factory()
        if isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], Preprocess):
            network, preprocess = made
            network.preprocess = preprocess
            made = network
        if not isinstance(made, nn.Module):
            raise ModelError(
                spec.text,
                f"{factory_name}() returned {type(made).__name__}; it must return a torch.nn.Module, "
                "or a pair of one and a modelatlas.zoo.Preprocess",
            )
        return made


def _module_and_factory(spec: ModelSpec) -> tuple[str, str]:
    module, colon, factory = spec.name.partition(":")
    if not colon or not factory.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise InputError(f"{spec.text}: give module and factory, as in python:my_nets:make_resnet")
    return module, factory


@contextmanager
def _current_folder_first() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
