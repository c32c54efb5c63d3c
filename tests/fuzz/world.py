"""The working folder of drawn command lines: files of a user's own, configurations, folders of results."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

from tests.fuzz.quiet import quiet

MODELS = '''
import jax
import jax.numpy as jnp
import numpy as np
import optax

import lr_batch

rng = np.random.default_rng(0)
x = rng.normal(size=(60, 5)).astype(np.float32)
y = (x @ rng.normal(size=(5, 3))).argmax(1).astype(np.int32)
cross_entropy = optax.softmax_cross_entropy_with_integer_labels
model = (lambda key: {"w": jnp.zeros((5, 3))}, lambda params, x: x @ params["w"])


def problem(model=model, x=x, y=y, **options):
    options = {"budget": 60, "goal": lr_batch.Goal("loss", 0.6), "loss": cross_entropy, "name": "tiny"} | options
    return lr_batch.from_arrays(model, train=(x[:40], y[:40]), held_out=(x[40:], y[40:]), **options)


workload = problem()


def make():
    return workload


def sized(width=4, layers=1):
    """A network with one hidden layer."""
    init = lambda key: {
        "hidden": {"kernel": jax.random.normal(key, (5, width))},
        "out": {"kernel": jax.random.normal(key, (width, 3)) / width},
    }
    apply = lambda params, x: jnp.tanh(x @ params["hidden"]["kernel"]) @ params["out"]["kernel"]
    return problem((init, apply), name="sized")


own = lambda h: optax.sgd(h["learning_rate"])
own.step_kind = "sgd"
chain = lambda h: optax.chain(optax.clip(1.0), optax.adam(h["learning_rate"]))
# What a user may get wrong: each attribute is a word that a command line may name.
accuracy = problem(metrics={"accuracy": lambda outputs, labels: outputs.argmax(-1) == labels})
upward = accuracy._replace(goal=lr_batch.Goal("accuracy", 0.9, above=True))
wrong_way = accuracy._replace(goal=lr_batch.Goal("accuracy", 0.9))
met = workload._replace(goal=lr_batch.Goal("loss", 9.0))
hard = workload._replace(goal=lr_batch.Goal("loss", 1e-9))
hostile = workload._replace(name="../../x[/]\\x1b[2J")
coupled = workload._replace(loss=lambda p, b, k: workload.loss(p, b, k) - workload.loss(p, b, k).mean())
scalar = workload._replace(loss=lambda p, b, k: workload.loss(p, b, k).mean())
infinite = workload._replace(loss=lambda p, b, k: workload.loss(p, b, k) / 0.0)
raises = workload._replace(loss=lambda p, b, k: 1 / 0)
seven, nothing, text, table = 7, None, "digits_mlp", {"a": 1}
later = lambda: problem(y=y + 1)
below = lambda: problem(y=y - 1)
leaves = lambda: exec("raise SystemExit(3)")
wants = lambda argument: workload
unread = lambda h: optax.sgd(0.1)
in_vain = lambda h: optax.sgd(0.1 + 0 * h["learning_rate"])
lr = lambda h: optax.sgd(h["lr"])
branches = lambda h: optax.sgd(0.1 if h["learning_rate"] > 0.3 else 0.2)
shrinks = lambda h: optax.stateless(lambda g, p: jax.tree.map(lambda x: -h["learning_rate"] * x[:1], g))
broken = lambda h: exec("raise RuntimeError('mine')")
quits = lambda h: exec("raise SystemExit(4)")
transformation = optax.sgd(0.1)
steps_apart = lambda h: optax.MultiSteps(optax.sgd(h["learning_rate"]), 2)
masked = lambda h: optax.masked(optax.adam(h["learning_rate"]), lambda params: jax.tree.map(lambda p: p.ndim > 5, params))
no_argument = lambda: optax.sgd(0.1)
two_arguments = lambda h, rate: optax.sgd(rate)
returns_pair = lambda h: (optax.sgd(h["learning_rate"]), None)


def square(augment, **options):
    """Pictures of one row of five pixels."""
    flat = (lambda key: {"w": jnp.zeros((5, 3))}, lambda params, x: x.reshape(len(x), -1) @ params["w"])
    return problem(flat, x=x[:, None, :, None], augment=augment, name="pictures", **options)


pictures = lambda: square("flip")
own_pictures = lambda: square(lr_batch.Augmentation("darker", 1, lambda x, draws: x * draws[:, :1, None, None]))
mixed_pictures = lambda: square(lr_batch.Augmentation("mixed", 0, lambda x, draws: x + x[::-1]))
drawn_pictures = lambda: square(lr_batch.Augmentation("drawn", 0, lambda x, draws: x * np.float32(rng.uniform())))
weighted = problem(weights=(np.arange(40) % 3, None))
counts = lambda state, outputs, y, weights: state + jnp.stack([weights @ (outputs.argmax(-1) == y), weights.sum()])
f1 = problem(metrics={"f1": (lambda: jnp.zeros(2), counts, lambda state: state[0] / state[1])}, goal="f1>0.7")


def normed():
    """Normalises by the moments of its batch, and keeps their running averages."""
    from flax import linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(3)(nn.BatchNorm(use_running_average=not train)(x))

    return problem(Net(), group_size=4, batch_sizes=(4, 8), name="normed")
'''
FILES = {
    "my.py": MODELS,
    "syntax.py": "def f(:",
    "empty.py": "",
    "exits.py": "import sys; sys.exit(0)",
    "raises.py": "raise ImportError('nope\\nmore')",
    "good.toml": 'workload = "my.py:workload"\nseeds = 1\nbatch-sizes = [4, 8]\noptimizer = "momentum"\n'
    "set = {momentum = 0.5}\n",
    "bad.toml": "workload = [",
    "odd.toml": 'seeds = true\nbatch-size = 4\n"" = 1\n',
    "types.toml": 'workload = 3\nseeds = "two"\nbudget = [1, 2]\nset = "momentum=1"\n',
    "kinds.toml": 'workload = "my.py:workload"\nspace = ["learning_rate=log(0.1,1)", 3]\nfollow = "yes"\n'
    "[set]\nmomentum = {a = 1}\n",
    "searched.toml": 'workload = "my.py:workload"\nsearch = "random"\ntrials = 2\nspace = ["learning_rate=log(0.1,1)"]\n',
    "text.txt": "not a study",
}
SMALL = "--batch-sizes 4,8 --learning-rates 0.1,0.5,2.5 --seeds 2 --budget 30 --no-extend".split()
KINDS = {
    "curve": ["curve", "my.py:workload", *SMALL],
    "others": ["curve", "my.py:workload", *SMALL[:4], "--seeds", "7,8", *SMALL[6:]],
    "searched": "curve my.py:workload --batch-sizes 4,8 --search quasi_random --space learning_rate=log(0.1,1) "
    "--trials 3 --seeds 2 --budget 20".split(),
    "compare": ["compare", "my.py:workload", "--optimizers", "sgd,my.py:chain", *SMALL],
    "tune": "tune my.py:workload --search random --trials 4 --ask 2 --budget 20 --confirm 2 --width 2 "
    "--batch-size 8".split(),
    "regularize": "regularize my.py:workload --batch-sizes 8 --learning-rates 0.1,0.5 --seeds 2 --strengths 0.1 "
    "--epochs 2".split(),
    "transfer": "transfer my.py:sized --optimizer sgd --widths 4,8 --learning-rates 0.1,0.5,2.5 --seeds 2 --steps 5 "
    "--batch-size 8".split(),
    "noise": "noise-scale my.py:workload --batch-sizes 8 --learning-rates 0.1 --budget 20".split(),
}


class World:
    """One folder, always at the same path: a model that was loaded there stays loaded, and so do its programs."""

    def __init__(self, scratch: Path, kinds: tuple[str, ...]):
        self.template, self.here = scratch / "template", scratch / "here"
        self.here.mkdir()
        for name, content in FILES.items():
            (self.here / name).write_text(content)
        os.chdir(self.here)
        from runs.__main__ import main

        for kind in kinds:
            with quiet() as (_, err):
                code = main([*KINDS[kind], "--out", kind])
            assert code == 0, f"{kind}: {err.getvalue()}"
        shutil.copytree(self.here, self.template)

    def restore(self) -> None:
        """The folder as it was."""
        os.chdir(self.template)
        shutil.rmtree(self.here)
        shutil.copytree(self.template, self.here)
        os.chdir(self.here)

    def files(self) -> dict[str, tuple[int, int]]:
        """Time and size of every file, by which a change shows."""
        found = [path for path in self.here.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


def damage(draw: random.Random, folder: Path) -> str:
    """Damages one file of a folder of results, and says how."""
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".png", ".svg")
    )
    if not files:
        return "nothing"
    path, how = draw.choice(files), draw.choice(sorted(DAMAGES))
    DAMAGES[how](draw, path)
    return f"{how} {path.relative_to(folder.parent)}"


def _flip(draw: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 8, 64])):
        if content:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def _folder(draw: random.Random, path: Path) -> None:
    del draw
    path.unlink()
    path.mkdir()


DAMAGES = {
    "flip": _flip,
    "folder": _folder,
    "cut": lambda draw, path: path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size + 1)]),
    "empty": lambda draw, path: path.write_bytes(b""),
    "lose": lambda draw, path: path.unlink(),
    "other": lambda draw, path: path.write_text(draw.choice(["null", "[]", "{}", "[" * 5000, "NaN", "\x00"])),
    "zeros": lambda draw, path: path.write_bytes(bytes(path.stat().st_size)),
    "link": lambda draw, path: (path.unlink(), path.symlink_to("/dev/null"))[0],
}
