"""A study says what is wrong with it when it is made."""

import dataclasses
import inspect
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import RATES, tiny_study, tiny_workload

import lr_batch
from optim.names import Registry, unknown


def test_defaults_are_filled_in():
    study = lr_batch.Study()
    assert study.workload.name == "digits_mlp" and study.optimizer_name == "sgd"
    assert study.batch_sizes == tuple(2**i for i in range(11))
    assert str(study.goal) == "loss < 0.2" and study.budget == study.workload.budget
    assert study.num_trials == 11 * 16 * 4 == 704


def test_what_follows_the_space_is_said_by_name_and_documented_in_the_order_of_the_signature():
    parameters = [*inspect.signature(lr_batch.Study.__init__).parameters.values()][1:]
    by_place = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert by_place == ["workload", "optimizer", "batch_sizes", "space"]
    arguments = (lr_batch.Study.__doc__ or "").partition("Raises:")[0]
    documented = re.findall(r"^ {6}(\w+): ", arguments, re.M)
    assert documented == [p.name for p in parameters]


@pytest.mark.wrong_types
def test_values_are_sorted_and_what_is_repeated_is_counted():
    study = tiny_study(batch_sizes=(8, 4, 8.0, 4), space={"learning_rate": [1.0, 0.1, 1e-1, "0.1"]})
    assert study.batch_sizes == (4, 8) and study.space == {"learning_rate": (0.1, 1.0)}
    assert study.notes == ("repeated batch sizes left out: 2", "repeated values of the space left out: 2")
    assert tiny_study().notes == ()


def test_settings_are_the_product_of_the_space():
    study = tiny_study(space={"learning_rate": RATES, "momentum": (0.5, 0.9)})
    assert len(study.settings) == 8 and study.num_trials == 8 * 4 * 2
    assert study.settings[1] == {"learning_rate": RATES[0], "momentum": 0.9}


def test_a_copy_with_another_field_is_checked_too():
    assert dataclasses.replace(tiny_study(), seeds=3).seeds == 3
    with pytest.raises(ValueError, match="seeds must be a whole number >= 1, got 0"):
        dataclasses.replace(tiny_study(), seeds=0)


WORKLOAD = tiny_workload()
LOSS = WORKLOAD.loss


def changed(**fields):
    return WORKLOAD._replace(**fields)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("workload", "digit_mlp", "unknown workload 'digit_mlp'; did you mean 'digits_mlp'? (known: "),
        ("workload", 7, "workload must be a name, a Workload or a function that makes one, got int"),
        ("workload", changed(goal=lr_batch.Goal("los", 1.0)), "did you mean 'loss'? (known: error, loss"),
        ("workload", changed(loss=lambda p, b, k: LOSS(p, b, k).sum()), "one value for each example"),
        ("workload", changed(loss=lambda p, b, k: LOSS(p, b, k) > 0), "floating-point numbers, got bool"),
        ("workload", changed(loss=lambda p, b, k: (LOSS(p, b, k),)), "got tuple"),
        ("workload", changed(init=lambda key: 1 / 0), "init failed: ZeroDivisionError: division by zero"),
        ("workload", changed(evaluate=lambda p, b: {"loss": b["y"].mean()}), "loss must return one value"),
        ("optimizer", "sdg", "unknown optimizer 'sdg'; did you mean 'sgd'?"),
        ("optimizer", 3, "optimizer must be a name or a function"),
        (
            "optimizer",
            optax.sgd(0.1),
            "got GradientTransformationExtraArgs; wrap it as `lambda hparams: ...`",
        ),
        ("regularizer", 3, "study: regularizer must be a name or a reg.Regularizer, got int"),
        ("regularizer", "dropuot", "unknown regularizer 'dropuot'; did you mean 'dropout'?"),
        ("goal", ("loss", 0.3), "goal: must be a Goal or look like 'loss<0.2', got ('loss', 0.3)"),
        ("goal", lr_batch.Goal("loss", None), "goal: threshold must be a finite number, got None"),
        ("slack", None, "study: slack must be >= 1 (infinite: no racing), got None"),
        ("space", [0.1], "study: space must map names to values"),
        ("batch_sizes", (), "study: batch_sizes is empty; give at least one number"),
        ("batch_sizes", 8, "study: batch_sizes must be a list of numbers, got 8"),
        ("batch_sizes", (0,), "study: batch_sizes must be a whole number >= 1, got 0"),
        ("batch_sizes", (-2,), "study: batch_sizes must be a whole number >= 1, got -2"),
        ("batch_sizes", (1.5,), "study: batch_sizes must be a whole number >= 1, got 1.5"),
        ("batch_sizes", (True,), "study: batch_sizes must be a whole number >= 1, got True"),
        ("batch_sizes", (41,), "study: batch size 41 is larger than the training data (40 examples)"),
        ("space", {}, "study: space must hold learning_rate, got nothing"),
        ("space", {"momentum": (0.9,)}, "study: space must hold learning_rate, got momentum"),
        ("space", {"learning_rate": ()}, "study: learning_rate is empty; give at least one number"),
        ("space", {"learning_rate": 0.1}, "study: learning_rate must be a list of numbers, got 0.1"),
        ("space", {"learning_rate": "0.1"}, "study: learning_rate must be a list of numbers, got '0.1'"),
        ("space", {"learning_rate": ("fast",)}, "study: learning_rate must be numbers, got 'fast'"),
        ("space", {"learning_rate": (0.0,)}, "sgd: learning_rate must be in (0, inf), got 0.0"),
        ("space", {"learning_rate": (-0.1,)}, "sgd: learning_rate must be in (0, inf), got -0.1"),
        ("space", {"learning_rate": (math.nan,)}, "study: learning_rate must be finite, got nan"),
        ("space", {"learning_rate": (math.inf,)}, "study: learning_rate must be finite, got inf"),
        ("seeds", 0, "study: seeds must be a whole number >= 1, got 0"),
        ("seeds", 1.5, "study: seeds must be a whole number >= 1, got 1.5"),
        ("seeds", math.nan, "study: seeds must be a whole number >= 1, got nan"),
        ("seeds", "2", "study: seeds must be a whole number >= 1, got '2'"),
        ("goal", "loss", "goal: must look like 'loss<0.2' or 'accuracy>0.95', got 'loss'"),
        ("goal", "loss<low", "goal: threshold must be a finite number, got 'low'"),
        ("goal", lr_batch.Goal("loss", math.inf), "goal: threshold must be a finite number, got inf"),
        ("budget", 0, "study: budget must be a whole number from 1 to 1,000,000,000, got 0"),
        ("budget", 2**31, "study: budget must be a whole number from 1 to 1,000,000,000, got 2147483648"),
        ("goal", "loss<=0.2", "goal: must look like 'loss<0.2' or 'accuracy>0.95', got 'loss<=0.2'"),
        ("reached", "often", "unknown reached 'often'"),
        ("evaluation_growth", 0.0, "study: evaluation_growth must be above 0, got 0.0"),
        ("evaluation_share", 0.0, "study: evaluation_share must be above 0 and at most 1, got 0.0"),
        ("evaluation_share", 1.5, "study: evaluation_share must be above 0 and at most 1, got 1.5"),
        ("slack", 0.9, "study: slack must be >= 1 (infinite: no racing), got 0.9"),
        ("slack", math.nan, "study: slack must be >= 1 (infinite: no racing), got nan"),
        ("lanes", "vmop", "did you mean 'vmap'?"),
    ],
)
def test_mistakes_are_one_line_at_construction(field, value, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        tiny_study(**{field: value})
    assert "\n" not in str(error.value)


def test_the_first_evaluation_below_is_looked_for_on_all_rows():
    assert tiny_study(reached="first").evaluation_share == 1
    assert tiny_study().evaluation_share == 0.25
    with pytest.raises(ValueError, match="evaluation_share must be 1 with reached 'first', got 0.5"):
        tiny_study(reached="first", evaluation_share=0.5)


def test_grid_that_is_too_large_is_counted_and_estimated_before_it_is_looked_at():
    rates = np.geomspace(1e-3, 1.0, 10_000_000)
    with pytest.raises(ValueError, match=r"learning_rate has 10,000,000 values, .* 28 hours"):
        tiny_study(space={"learning_rate": rates})
    space = {"learning_rate": rates[:1_000], "momentum": (-1.0, *rates[1:1_000])}
    with pytest.raises(ValueError, match=r"8,000,000 trials \(4 batch sizes x 1,000,000 sett.* 22 hours"):
        tiny_study(space=space)


def test_nothing_is_compiled(caplog):
    new = WORKLOAD._replace(loss=lambda p, b, k: LOSS(p, b, k) * jnp.cos(jnp.arange(37.0)).sum())
    with jax.log_compiles():
        tiny_study(workload=new)
        assert "XLA compilation" not in caplog.text
        jax.jit(lambda: jnp.cos(jnp.arange(37.0)).sum())()  # what it would look like
    assert "XLA compilation" in caplog.text


def test_names_are_found_or_the_nearest_is_said():
    assert Registry("thing", {"a": 1, "b": 2})["b"] == 2
    line = "unknown thing 'apple'; did you mean 'apples'? (known: apples, pears)"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        Registry("thing", {"pears": 1, "apples": 2})["apple"]
    assert unknown("thing", "zzz", ["a"]) == "unknown thing 'zzz' (known: a)"


@pytest.mark.parametrize("threshold", [np.float32(0.3), np.float64(0.3), jnp.float32(0.3), "0.3"])
@pytest.mark.wrong_types
def test_threshold_may_be_any_number(threshold):
    goal = tiny_study(goal=lr_batch.Goal("loss", threshold)).goal
    assert type(goal.threshold) is float and goal.threshold == pytest.approx(0.3)


def test_what_is_no_study_and_no_result_is_said():
    with pytest.raises(ValueError, match=r"run: study must be a Study, got None; make one by lr_batch.Study"):
        lr_batch.run(None)
    with pytest.raises(ValueError, match="width must be from 1 to 65,536 lanes, got 0"):
        lr_batch.run(tiny_study(), width=0)
    for analyse in (lr_batch.best_settings, lr_batch.critical_batch_size):
        with pytest.raises(ValueError, match="result must be what lr_batch.run returns, got dict"):
            analyse({})


@pytest.mark.parametrize("regularizer", [None, "l2"])
def test_a_loss_that_fails_is_one_line_with_and_without_a_regularizer(regularizer):
    broken = tiny_workload()._replace(loss=lambda params, batch, key: 1 / 0)
    with pytest.raises(ValueError, match=r"^study: the model with its loss failed: ZeroDivisionError"):
        tiny_study(workload=broken, regularizer=regularizer)


def test_a_study_and_a_workload_are_shown_without_their_arrays():
    study = lr_batch.Study("digits_mlp", "sgd", (4, 16), {"learning_rate": (0.1, 0.3)}, seeds=3)
    assert repr(study) == "Study(digits_mlp with sgd, loss < 0.2, trials: 12)"
    assert repr(study.workload) == "Workload(digits_mlp, goal loss < 0.2)"
