"""Every example in a docstring gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import hparam
import lr_batch
import optim
import reg
import runs

PACKAGES = (hparam, lr_batch, optim, reg, runs)
MODULES = sorted(
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
)


EXTRAS = {"mlflow", "wandb", "tensorboardX"}  # whose modules are imported only where the package is there


def _imported(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        return None


@pytest.mark.parametrize("package", [package.__name__ for package in PACKAGES])
def test_examples(package):
    ran = 0
    for name in MODULES:
        if name.split(".")[0] == package and (module := _imported(name)) is not None:
            outcome = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
            assert outcome.failed == 0, name
            ran += outcome.attempted
    assert ran > 0
