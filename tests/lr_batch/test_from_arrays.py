"""What a user's model and arrays become: told when it trains, nothing lost, or refused in one line."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax import nnx

import lr_batch

rng = np.random.default_rng(0)
X = rng.normal(size=(32, 5)).astype("float32")
Y = np.argmax(X[:, :3], axis=1).astype("int32")
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels
LINEAR = (lambda key: jnp.arange(15.0).reshape(5, 3), lambda params, x: x @ params)


def made(model=LINEAR, x=X, y=Y, loss=CROSS_ENTROPY, goal="loss<0.1", **fields):
    return lr_batch.from_arrays(model, train=(x, y), held_out=(x, y), loss=loss, goal=goal, **fields)


def losses(workload, key):
    batch = jax.tree.map(lambda leaf: leaf[:8], workload.train_data)
    return np.asarray(workload.loss(workload.init(jax.random.key(0)), batch, jax.random.key(key)))


def linen_net(flag, default, rate=0.5):
    """A linen model whose dropout a keyword of that name switches."""
    scope = {"nn": nn, "rate": rate}
    exec(
        f"class Net(nn.Module):\n"
        f"    @nn.compact\n"
        f"    def __call__(self, x, {flag}={default}):\n"
        f"        off = {flag} if {default} else not {flag}\n"
        f"        return nn.Dense(3)(nn.Dropout(rate, deterministic=off)(nn.Dense(16)(x)))\n",
        scope,
    )
    return scope["Net"]()


def nnx_net(flag, default, rate=0.5):
    """The same in nnx."""
    scope = {"nnx": nnx, "rate": rate}
    exec(
        f"class Net(nnx.Module):\n"
        f"    def __init__(self, rngs):\n"
        f"        self.a, self.b = nnx.Linear(5, 16, rngs=rngs), nnx.Linear(16, 3, rngs=rngs)\n"
        f"        self.drop = nnx.Dropout(rate, rngs=rngs)\n"
        f"    def __call__(self, x, {flag}={default}):\n"
        f"        off = {flag} if {default} else not {flag}\n"
        f"        return self.b(self.drop(self.a(x), deterministic=off))\n",
        scope,
    )
    return scope["Net"]


FLAGS = [(name, False) for name in ("train", "training", "is_training", "is_train")]
FLAGS += [(name, True) for name in ("deterministic", "eval", "inference")]


@pytest.mark.parametrize("net", [linen_net, nnx_net])
@pytest.mark.parametrize(("flag", "default"), FLAGS)
def test_dropout_is_on_in_training_and_off_in_evaluation(net, flag, default):
    workload = made(net(flag, default))
    assert not np.allclose(losses(workload, 1), losses(workload, 2))
    plain = made(net(flag, default, rate=0.0))
    params = workload.init(jax.random.key(0))
    same = [w.evaluate(params, w.eval_data)["loss"] for w in (workload, plain)]
    np.testing.assert_array_equal(same[0], same[1])


@pytest.mark.parametrize("net", [linen_net, nnx_net])
def test_a_flag_that_is_not_known_and_switches_noise_is_refused(net):
    with pytest.raises(ValueError, match="switched on by 'stochastic', which is not known.*training"):
        made(net("stochastic", False))
    made(net("stochastic", False, rate=0.0))


@pytest.mark.parametrize(
    ("default", "on"),
    [("'eval'", "mode == 'train'"), ("0", "mode == 1"), ("None", "mode"), ("None", "mode is not None")],
)
def test_whatever_a_keyword_is_that_switches_noise_on_it_is_refused(default, on):
    """A word, a number, nothing, or a key of another name; a mode that it does not know it may refuse itself."""
    scope = {"jax": jax, "nn": nn}
    exec(
        f"class Net(nn.Module):\n"
        f"    @nn.compact\n"
        f"    def __call__(self, x, mode={default}):\n"
        f"        assert mode in ('eval', 'train', 0, 1, None) or isinstance(mode, jax.Array)\n"
        f"        noise = jax.random.normal(self.make_rng('noise'), x.shape) if {on} else 0\n"
        f"        return nn.Dense(3)(x + noise)\n"
        f"def apply(params, x, seed=None):\n"
        f"    return (x if seed is None else x + jax.random.normal(seed, x.shape)) @ params\n",
        scope,
    )
    for model in (scope["Net"](), (LINEAR[0], scope["apply"])):
        with pytest.raises(ValueError, match="switched on by '(mode|seed)', which is not known.*training"):
            made(model)


def test_dropout_that_nothing_switches_on_is_refused():
    with pytest.raises(ValueError, match="Dropout has rate 0.5, but the training loss does not depend"):
        made(nn.Sequential([nn.Dense(8), nn.Dropout(0.5, deterministic=True), nn.Dense(3)]))


def test_an_argument_that_is_not_known_is_refused_with_those_that_are():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, mode):
            return nn.Dense(3)(x)

    with pytest.raises(ValueError, match="needs 'mode', which is not known.*deterministic"):
        made(Net())
    with pytest.raises(ValueError, match="needs 'y'"):
        made((LINEAR[0], lambda params, x, y: x @ params))


@pytest.mark.parametrize("name", ["key", "rng", "dropout_key"])
def test_a_pair_is_told_by_the_usual_names(name):
    scope = {"jax": jax}
    exec(
        f"def apply(params, x, {name}=None, train=False):\n"
        f"    assert train == ({name} is not None)\n"
        f"    noise = 0 if {name} is None else jax.random.normal({name}, x.shape)\n"
        f"    return (x + noise) @ params\n",
        scope,
    )
    workload = made((LINEAR[0], scope["apply"]))
    assert not np.allclose(losses(workload, 1), losses(workload, 2))
    np.testing.assert_allclose(
        workload.evaluate(jnp.ones((5, 3)), workload.eval_data)["loss"],
        CROSS_ENTROPY(X @ jnp.ones((5, 3)), Y),
        rtol=1e-5,
    )


class Streams(nnx.Module):
    def __init__(self, rngs):
        self.a, self.b = nnx.Linear(5, 32, rngs=rngs), nnx.Linear(32, 3, rngs=rngs)
        self.first = nnx.Dropout(0.5, rng_collection="drop_path", rngs=rngs)
        self.second = nnx.Dropout(0.5, rng_collection="drop_path", rngs=rngs)

    def masks(self, x):
        return self.first(x), self.second(x)

    def __call__(self, x):
        return self.b(self.second(self.first(nnx.relu(self.a(x)))))


def test_every_nnx_stream_is_reseeded_and_no_two_alike():
    from lr_batch.problem.nnx_model import reseed

    for model in (Streams, Streams(nnx.Rngs(params=0, drop_path=1))):
        workload = made(model)
        assert not np.allclose(losses(workload, 1), losses(workload, 2))
        np.testing.assert_array_equal(losses(workload, 1), losses(workload, 1))
    module = Streams(nnx.Rngs(0))
    reseed(module, jax.random.key(3))
    first, second = module.masks(jnp.ones((4, 32)))
    assert not np.array_equal(first, second)


def test_a_random_key_that_is_state_is_refused():
    """It would give one draw for the whole training."""

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.a, self.key = nnx.Linear(5, 3, rngs=rngs), nnx.Variable(jax.random.key(3))

        def __call__(self, x):
            return self.a(x + jax.random.normal(self.key[...], x.shape))

    with pytest.raises(
        ValueError, match=r"keeps a random key \(key\), which would draw the same at every step"
    ):
        made(Net)


def test_linen_streams_differ_from_step_to_step():
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            if train:
                x = x + jax.random.normal(self.make_rng("noise"), x.shape)
                x = x + jax.random.normal(self.make_rng("my_own"), x.shape)
            return nn.Dense(3)(x)

    workload = made(Noisy())
    assert not np.allclose(losses(workload, 1), losses(workload, 2))


def test_noise_in_evaluation_is_refused():
    class Noisy(nnx.Module):
        def __init__(self, rngs):
            self.a, self.rngs = nnx.Linear(5, 3, rngs=rngs), rngs

        def __call__(self, x):
            return self.a(x + jax.random.normal(self.rngs.noise(), x.shape))

    with pytest.raises(ValueError, match="draws random numbers in evaluation too"):
        made(Noisy)


class Two(nn.Module):
    as_dict: bool = False

    @nn.compact
    def __call__(self, x):
        h = nn.relu(nn.Dense(16)(x))
        outputs = nn.Dense(3)(h), h
        return dict(zip("ab", outputs, strict=True)) if self.as_dict else outputs


@pytest.mark.parametrize(("as_dict", "first"), [(False, 0), (True, "a")])
def test_outputs_may_be_trees_and_then_have_no_error(as_dict, first):
    loss = lambda outputs, y: CROSS_ENTROPY(outputs[first], y)
    workload = made(Two(as_dict), loss=loss)
    assert set(jax.eval_shape(workload.evaluate, workload.init(jax.random.key(0)), workload.eval_data)) == {
        "loss"
    }
    with pytest.raises(ValueError, match="unknown goal metric 'error'"):
        made(Two(as_dict), loss=loss, goal="error<0.1")


def test_state_that_no_call_changes_is_a_constant():
    class Constant(nnx.Variable):
        pass

    class Features(nnx.Module):
        def __init__(self, rngs):
            self.table, self.head = (
                Constant(jax.random.normal(rngs.params(), (5, 16))),
                nnx.Linear(16, 3, rngs=rngs),
            )

        def __call__(self, x):
            return self.head(jnp.sin(x @ self.table[...]))

    class LinenFeatures(nn.Module):
        @nn.compact
        def __call__(self, x):
            table = self.variable(
                "constants", "t", lambda: jax.random.normal(self.make_rng("params"), (5, 16))
            )
            self.sow("intermediates", "h", x)
            return nn.Dense(3)(jnp.sin(x @ table.value))

    table = np.asarray(Features(nnx.Rngs(0)).table[...])
    workload = made(Features)
    params = workload.init(jax.random.key(5))
    expected = CROSS_ENTROPY(np.sin(X @ table) @ params["head"]["kernel"] + params["head"]["bias"][None], Y)
    np.testing.assert_allclose(workload.evaluate(params, workload.eval_data)["loss"], expected, rtol=1e-5)
    assert set(made(LinenFeatures()).init(jax.random.key(0))) == {"Dense_0"}


def test_state_that_a_call_changes_is_refused():
    class Counting(nn.Module):
        @nn.compact
        def __call__(self, x):
            count = self.variable("counts", "n", lambda: jnp.zeros(()))
            if self.is_mutable_collection("counts"):
                count.value += 1
            return nn.Dense(3)(x)

    with pytest.raises(ValueError, match=r"changes state besides its parameters \(counts/n\)"):
        made(Counting())


class LinenAverage(nn.Module):
    """Evaluated at an average of its parameters, which the first call leaves where it is."""

    @nn.compact
    def __call__(self, x, train):
        kernel = self.param("kernel", nn.initializers.normal(), (5, 3))
        average = self.variable("average", "kernel", lambda: kernel)
        if train:
            average.value += 0.1 * (kernel - average.value)
        return x @ (kernel if train else average.value)


class NnxAverage(nnx.Module):
    def __init__(self, rngs):
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (5, 3)))
        self.average = nnx.Variable(self.kernel[...])

    def __call__(self, x, train):
        if train:
            self.average[...] += 0.1 * (self.kernel[...] - self.average[...])
        return x @ (self.kernel[...] if train else self.average[...])


def with_average(params, state, x, train):
    return x @ (params if train else state), params if train else state


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (LinenAverage(), "average/kernel"),
        (NnxAverage, "average"),
        ((lambda key: (LINEAR[0](key), LINEAR[0](key)), with_average), "all of it"),
    ],
)
def test_an_average_of_parameters_that_the_first_call_leaves_is_refused(model, name):
    with pytest.raises(ValueError, match=rf"changes state besides its parameters \({name}\)"):
        made(model)


@pytest.mark.parametrize("labels", [(0, 1), (-1, 1)])
@pytest.mark.parametrize("gives", ["logit", "probability", "logit without axis"])
def test_error_of_one_output_is_that_of_its_likelier_label(labels, gives):
    wanted = X[:, 0] > 0.3
    y = np.where(wanted, labels[1], labels[0]).astype("int32")
    squash = jax.nn.sigmoid if gives == "probability" else lambda z: z

    def apply(params, x):
        z = squash(x[:, :1] * params[0])
        return z[:, 0] if gives.endswith("axis") else z

    def loss(outputs, y):
        outputs = outputs.reshape(len(y))
        positive = (y > 0).astype(jnp.float32)
        if gives == "probability":
            return -jnp.log(jnp.where(y > 0, outputs, 1 - outputs))
        return optax.sigmoid_binary_cross_entropy(outputs, positive)

    workload = made((lambda key: jnp.ones(1), apply), y=y, loss=loss, goal="error<0.1")
    error = workload.evaluate(jnp.ones(1), workload.eval_data)["error"]
    np.testing.assert_array_equal(error, (X[:, 0] > 0) != wanted)


def test_counts_with_one_output_have_no_error():
    y = np.arange(32, dtype="int32") % 5
    loss = lambda outputs, y: (outputs[:, 0] - y) ** 2
    with pytest.raises(ValueError, match="unknown goal metric 'error'"):
        made((lambda key: jnp.ones((5, 1)), LINEAR[1]), y=y, loss=loss, goal="error<0.1")


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.int64(1_700_000_000_000) + np.arange(4), "has 1700000000003, which int32 cannot hold"),
        (2**40 + np.arange(4), "which int32 cannot hold"),
        (np.array([2**32 + 1, 0, 0, 0], "uint64"), "which uint32 cannot hold"),
        (np.array([1e300, 0, 0, 0]), "which float32 cannot hold"),
        (1e9 + np.arange(4.0), "differs by less than float32 can tell apart"),
        (2**30 + np.arange(4), "differs by less than float32 can tell apart"),
        (np.array([1e-60, 2e-60, 0, 0]), "differs by less than float32 can tell apart"),
        (np.ma.masked_equal(np.array([1.0, -9.0, 2.0, 3.0]), -9.0), "1 masked values"),
    ],
)
def test_values_that_would_be_lost_are_refused(x, said):
    model = (lambda key: jnp.zeros(()), lambda params, x: params + 0.0 * x)
    with pytest.raises(ValueError, match=said):
        made(model, x=x, y=np.zeros(4, "float32"), loss=lambda outputs, y: (outputs - y) ** 2)


@pytest.mark.parametrize(
    "dtype", ["float64", "longdouble", "int64", "uint8", "bool", "float16", ml_dtypes.bfloat16]
)
def test_values_that_survive_are_kept(dtype):
    x = (np.abs(X) * 3).astype(dtype)
    np.testing.assert_allclose(made(x=x).train_data["x"].astype(float), x.astype(float), rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "perplexity",
        "PPL",
        "rmse",
        "f1_score",
        "auc",
        "roc_auc",
        "f1_macro",
        "AUROC",
        "balanced_accuracy",
        "val_mcc",
    ],
)
def test_a_metric_that_is_no_mean_over_examples_is_refused(name):
    with pytest.raises(ValueError, match="a function is averaged over examples, which"):
        made(metrics={name: lambda outputs, y: jnp.exp(CROSS_ENTROPY(outputs, y))})


def test_metrics_must_map_names_to_functions():
    with pytest.raises(ValueError, match="metrics must map names to functions"):
        made(metrics=[CROSS_ENTROPY])


def test_an_error_of_the_users_code_says_where():
    def apply(params, x):
        raise KeyError("w")

    with pytest.raises(ValueError, match=r"failed: KeyError: 'w' \(test_from_arrays.py, line \d+\)"):
        made((LINEAR[0], apply))


@pytest.mark.parametrize(
    ("init", "said"),
    [
        (lambda key: {}, "the model has no parameters"),
        (lambda key: {"w": jnp.ones((5, 3), jnp.complex64)}, "parameters must be real, w is complex64"),
    ],
)
def test_parameters_that_cannot_be_trained_are_refused(init, said):
    """JAX's gradient of a complex parameter, taken as it is, leads uphill in the imaginary part."""
    x, y = np.ones((4, 5), np.float32), np.zeros(4, np.int32)
    model = (init, lambda params, x: jnp.abs(x @ params.get("w", jnp.ones((5, 3)))))
    with pytest.raises(ValueError, match=said):
        loss = optax.softmax_cross_entropy_with_integer_labels
        lr_batch.from_arrays(model, train=(x, y), held_out=(x, y), loss=loss, goal="loss<0.1")
