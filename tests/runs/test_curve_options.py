"""Options of `lr-batch curve` about how much is trained, and of what."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from command_line import MODEL, command

import lr_batch
import runs.curve.run
from lr_batch.engine import ChunkPlan
from runs.curve import dry_run, pilot
from runs.curve.chunk_costs import Cost
from runs.recipes import dry_run as dry_run_recipe

pytestmark = pytest.mark.usefixtures("unrendered")

SMALL = "curve my.py:workload --batch-sizes 4,40 --learning-rates 0.3,1,3 --no-extend --goal loss<0.6".split()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "my.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)


def test_a_time_limit_keeps_what_is_finished_and_says_what_is_missing(capsys):
    words = [*SMALL, "--seeds", "2", "--out", "o", "--json"]
    code, out, err = command(capsys, *words, "--time-limit", "0.001s")
    assert code == 0, err
    assert "time limit: 12 of 12 trials are missing, at batch sizes 4 (6 of 6), 40 (6 of 6)" in out
    code, out, err = command(capsys, *words, "--time-limit", "10m")
    assert code == 0 and json.loads(out)["trials"] == 12 and "time limit" not in out, err


def test_seeds_are_a_number_or_a_list(capsys):
    assert command(capsys, *SMALL, "--out", "a", "--seeds", "10,12")[0] == 0
    assert {trial.seed for trial in runs.curve.run.stored_result("a").trials} == {10, 12}


def test_a_regularizer_with_its_strengths(capsys):
    words = [*SMALL, "--seeds", "2", "--regularizer", "l2", "--set", "l2=0,0.01", "--out", "o"]
    code, out, err = command(capsys, *words)
    assert code == 0 and "tiny with sgd + l2" in out, err


def test_a_dry_run_says_what_would_be_trained_and_trains_nothing(capsys, tmp_path):
    code, out, err = command(capsys, *SMALL, "--seeds", "2", "--dry-run", "--out", "o")
    assert code == 0, err
    assert "12 trials: 2 batch sizes x 3 settings x 2 seeds" in out and "4 chunks of up to 3 lanes" in out
    assert "programs: 2, compiled in" in out and "memory:" in out
    said = "of training, going by the race of one seed at batch sizes 4 and 40; at most about"
    assert "time: about" in out and said in " ".join(out.split())
    assert not (tmp_path / "o").exists() and not (tmp_path / "lr-batch-results").exists()


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ("lane=3,data=0", "mesh must look like lane=4,data=2"),
        ("data=3", "data=3 of the mesh does not divide batch size 4"),
        ("lane=7", "mesh lane=7,data=1 takes 7 devices, and the"),
    ],
)
def test_a_mesh_that_does_not_divide_is_one_line(capsys, tmp_path, mesh, message):
    code, out, err = command(capsys, *SMALL, "--mesh", mesh, "--out", "o")
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert not (tmp_path / "o").exists()


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # put back afterwards
    code, out, err = command(capsys, *SMALL, "--device", "gpu:0")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "--device gpu:0: there is none that JAX can use here" in err
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    code, out, err = command(capsys, *SMALL, "--device", "gpu:2")
    assert code == 2 and "--device gpu:2: CUDA_VISIBLE_DEVICES shows 2 devices, from gpu:0 on" in err


def test_the_cpu_may_be_named(capsys):
    assert command(capsys, *SMALL, "--seeds", "1", "--device", "cpu", "--dry-run")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--device tpu", "--device: must look like cpu, gpu or gpu:0, got 'tpu'"),
        ("--device cpu:3", "--device: must look like cpu, gpu or gpu:0, got 'cpu:3'"),
        ("--time-limit soon", "--time-limit: must look like 30m, 90s or 1h30m, got 'soon'"),
        ("--time-limit 0m", "--time-limit: must look like 30m"),
        ("--time-limit=", "--time-limit: must look like 30m, 90s or 1h30m, got ''"),
        ("--augment=", "unknown augmentation ''"),
        ("--seeds 3,3", "study: seeds must differ, got [3, 3]"),
        ("--seeds 3,x", "--seeds: must be a whole number, got 'x'"),
        ("--seeds=-1,2", "study: seeds of a list must be a whole number from 0 to"),
        ("--budget 5%", "study: budget must be a number of steps, 50_000examples or 10epochs, got '5%'"),
        ("--regularizer dropot", "unknown regularizer 'dropot'; did you mean 'dropout'?"),
        ("--regularizer l2 --set l1=1", "unknown hyperparameter of sgd 'l1'"),
        ("--set wrmup=5%", "unknown hyperparameter of sgd 'wrmup' (known: learning_rate)"),
        ("--set timescale=5%", "; timescale belongs to the schedule inverse_sqrt"),
        ("--set dropout=0.1", "; dropout belongs to the regularizer dropout"),
        (
            "--schedule linear --set decay_step=50%",
            "unknown hyperparameter of sgd, linear schedule 'decay_step'",
        ),
        ("--regularizer early_stopping", "lr-batch regularize --regularizer early_stopping measures it"),
        ("--batch-schedule x2@200%", "from 200% of the budget on"),
        ("--save-config no/such/folder/x.toml", "--save-config: no/such/folder/x.toml cannot be written"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(words, said, capsys, monkeypatch):
    monkeypatch.setattr("jax.stages.Lowered.compile", lambda *args, **kwargs: 1 / 0)
    code, out, err = command(capsys, *SMALL, *words.split())
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1


@pytest.fixture
def two_workers(monkeypatch):
    """Steps of a second, of 2 s and of 4 s at batch sizes 8, 16 and 32; evaluations that cost nothing."""
    cost = {8: 1.0, 16: 2.0, 32: 4.0}
    monkeypatch.setattr(dry_run, "measured", lambda study, engine, size: Cost(cost[size], 0.0))
    monkeypatch.setattr(dry_run, "places", lambda mesh: (jax.devices()[0],) * 2)


def dry(**options):
    """A study of 3 rates, 3 seeds and 100 steps."""
    space = {"learning_rate": (0.1, 0.2, 0.4)}
    return lr_batch.Study("digits_mlp", space=space, seeds=3, budget=100, evaluation_share=1.0, **options)


def test_a_dry_run_adds_up_chunks_as_workers_take_them(two_workers):
    study = dry(batch_sizes=(8, 16), batch_schedule="x2@10", slack=np.inf)
    found = dry_run.forecast(study, ChunkPlan.of(study))
    # Chunks of 3 lanes: at 8, 10 steps of 1 s and 90 of 2 s; at 16 twice that; three of each for two workers.
    assert (found.chunks, found.at_a_time, found.likely) == (6, 2, None)
    assert found.training == dry_run.makespan([380.0] * 3 + [190.0] * 3, 2) == 950.0


def test_a_dry_run_goes_by_the_races_of_one_seed(two_workers, monkeypatch):
    """Those at 8 end after 80 steps, those at 32 after 20; lanes that diverge save half of the time at 8."""
    study, known = dry(batch_sizes=(8, 16, 32)), {8: pilot.Raced(80.0, 40.0), 32: pilot.Raced(20.0, 80.0)}
    monkeypatch.setattr(pilot, "raced", lambda *given: known)
    found = dry_run.forecast(study, ChunkPlan.of(study))
    middle = 0.5**0.5 * 40.0 * 2.0  # perfect scaling between both, and half of what is saved on the log scale
    expected = dry_run.makespan([80.0] * 3 + [middle] * 3 + [40.0] * 3, 2)
    assert found.likely == pytest.approx(expected) and found.training > expected
    assert "time: about 4 min" in f"time: {dry_run.in_words(study, found)}"
    known.pop(8)  # not ended in time
    found = dry_run.forecast(study, ChunkPlan.of(study))
    assert found.likely is None and "20 s were too short to see when" in dry_run.in_words(study, found)


def test_a_race_that_does_not_end_in_time_is_given_up():
    study = dry(batch_sizes=(8, 16))
    assert pilot.raced(study, ChunkPlan.of(study), lr_batch.Programs(), seconds=0.0) == {}


def test_a_dry_run_counts_the_windows_of_a_followed_grid():
    rates = lr_batch.log_grid(1e-3, 10.0, 16)
    study = lr_batch.Study(batch_sizes=(1, 4, 16, 64, 256), space={"learning_rate": rates}, seeds=2)
    assert lr_batch.planned_chunks(study, 10) == dict.fromkeys(study.batch_sizes, [10, 6, 10, 6])
    followed = lr_batch.planned_chunks(dataclasses.replace(study, follow=True), 10)
    # Of the first seed whole rows at three batch sizes and a window of 6 rates elsewhere; of the other one of 5.
    assert followed == {size: [5, 10, 6] if size in (1, 16, 256) else [6, 5] for size in study.batch_sizes}


def test_the_estimate_of_a_dry_run_is_of_the_size_of_the_real_time():
    """On an idle machine it is within 1.5 (`python -m runs.recipes.dry_run`); tests share theirs with others."""
    (told,) = dry_run_recipe.main(quick=True).values()
    assert 0.05 < told.ratio < 20.0


def test_a_precision_is_part_of_the_study(capsys, request):
    request.addfinalizer(lambda: jax.config.update("jax_enable_x64", False))
    words = [*SMALL, "--seeds", "1", "--out", "o"]
    code, out, err = command(capsys, *words, "--precision", "bfloat16")
    assert code == 0 and "tiny with sgd, bfloat16" in out, err
    code, _, err = command(capsys, *words)
    assert code == 2 and "precision" in err
    code, out, err = command(capsys, *SMALL, "--seeds", "1", "--out", "p", "--precision", "float64")
    assert code == 0 and "tiny with sgd, float64" in out, err
    code, _, err = command(capsys, *words, "--precision", "half")
    assert code == 2 and err.count("\n") == 1
