"""The same loop in PyTorch, eager, with its default threads, where torch is installed.

    python -m runs.bench.torch_loop < request.json

Trials start from the same parameters and see the same examples in the same order as those of JAX.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from lr_batch import Study
from runs.bench.child import serve
from runs.bench.serial_loop import measure
from runs.bench.trial_loop import PeerTrainer
from runs.bench.work import Work

NETWORKS = ("digits_mlp", "mnist_fc", "fashion_mnist_fc", "digits_cnn")
OPTIMIZERS = ("sgd", "adam")
Layers = list[tuple[Any, Any]]  # kernel and bias of each


def missing(workload: str, optimizer: str) -> str | None:
    """Why there is no such peer, or None."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    if workload not in NETWORKS:
        return f"{workload} is not written in torch here"
    return None if optimizer in OPTIMIZERS else f"{optimizer} is not part of torch or not compared"


def make_trainer(study: Study) -> PeerTrainer:
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn.functional import cross_entropy  # pyright: ignore[reportMissingImports]

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tensor = lambda array: torch.from_numpy(np.array(array)).to(device)  # a copy that torch may write
    train, held_out = (
        jax.tree.map(tensor, data) for data in (study.workload.train_data, study.workload.eval_data)
    )
    train["y"], held_out["y"] = train["y"].long(), held_out["y"].long()
    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[study.optimizer.name]
    init = jax.jit(study.workload.init)

    def start(seed: int, hparams: Mapping[str, float]) -> tuple[Layers, Any]:
        layers = [(tensor(w), tensor(b)) for w, b in in_order(init(jax.random.key(seed)))]
        params = [leaf.requires_grad_() for layer in layers for leaf in layer]
        given: dict[str, Any] = {"lr": hparams["learning_rate"]}
        if "b1" in hparams or "b2" in hparams:
            given["betas"] = (hparams.get("b1", 0.9), hparams.get("b2", 0.999))
        return layers, make(params, **given)

    def step(state: tuple[Layers, Any], rows: np.ndarray, number: int) -> tuple[Layers, Any]:
        layers, optimizer = state
        rows = tensor(rows)
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(network(layers, train["x"][rows]), train["y"][rows]).backward()
        optimizer.step()
        return state

    def evaluate(state: tuple[Layers, Any], rows: np.ndarray | None) -> float:
        x, y = (held_out[side] if rows is None else held_out[side][tensor(rows)] for side in "xy")
        with torch.no_grad():
            outputs = network(state[0], x)
            if study.goal.metric == "error":
                return (outputs.argmax(-1) != y).float().mean().item()
            return cross_entropy(outputs, y).item()

    wait = lambda state: torch.cuda.synchronize() if device.type == "cuda" else None
    return PeerTrainer(start, step, wait, evaluate)


def in_order(params: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """(kernel, bias) of each layer: convolutions, then dense layers, each kind by its number, then the head."""

    def place(name: str) -> tuple[int, int]:
        return (2, 0) if name == "head" else (name.startswith("Dense"), int(name.rpartition("_")[2]))

    names = sorted(params, key=place)
    return [(params[name]["kernel"], params[name]["bias"]) for name in names]


def network(layers: Layers, x: Any) -> Any:
    """ReLU network whose kernels are in the layout of JAX: convolutions (height, width, I, O), dense
    (I, O)."""
    import torch.nn.functional as F  # pyright: ignore[reportMissingImports]

    for i, (kernel, bias) in enumerate(layers):
        if kernel.ndim == 4:
            x = F.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, padding="same")
            x = F.max_pool2d(F.relu(x), 2).permute(0, 2, 3, 1)
            continue
        x = F.linear(x.flatten(1), kernel.T, bias)
        x = x if i == len(layers) - 1 else F.relu(x)
    return x


def main(request: Mapping[str, Any], emit: Callable[..., None]) -> None:
    study = Work(**request["work"]).study()
    emit(ready=True)
    measure(study, make_trainer(study), request, emit)


if __name__ == "__main__":
    serve(main)
