"""Every figure of the gallery, in the order of the lecture."""

from __future__ import annotations

from typing import Any

from runs.gallery import numbers
from runs.gallery.entry import Entry

RATES, BATCHES, OPTIMIZERS = "Learning rates", "Batch sizes", "Optimizers"
REGULARIZATION, SEARCH = "Regularization", "Search and transfer"


def _entry(name: str, part: str, title: str, caption: str, time: str, **more: Any) -> Entry:
    """An entry whose recipe has its name unless `recipe` says otherwise."""
    recipe = more.pop("recipe", name)
    return Entry(name, part, title, f"runs.recipes.{recipe}", getattr(numbers, name), caption, time, **more)


ENTRIES = (
    _entry(
        "schedules",
        RATES,
        "A high rate, a low one, and one that decays",
        "Training loss after {steps} steps: {high} at the high rate, {low} at the low one, {decayed} where "
        "the high one decays linearly. Of the schedules on the right, cosine with a warm-up ends at {cosine}, "
        "cyclic at {cyclic}, step at {step}.",
        "a minute",
    ),
    _entry(
        "every_schedule",
        RATES,
        "Every schedule",
        "Training loss at the end: {constant} at a constant rate, {lowest} with {lowest_name}, the lowest of "
        "all. Intervals of {alike} of the {others} other schedules meet that of the lowest.",
        "2 min",
    ),
    _entry(
        "rate_sensitivity",
        RATES,
        "How much the learning rate matters to SGD and to Adam",
        "Rates within 1.5 times the best loss span {sgd_decades} decades with SGD and {adam_decades} with "
        "Adam. Their best losses are {sgd_loss} at {sgd_rate} and {adam_loss} at {adam_rate}.",
        "25 s",
    ),
    _entry(
        "gradient_noise",
        BATCHES,
        "Less noise in the trajectory",
        "The variance of the gradient falls as the batch size to the power {power}, and is as large as the "
        "squared gradient itself at a batch of {scale}. Smaller batches wander, larger ones hardly gain.",
        "10 s",
    ),
    _entry(
        "linear_scaling",
        BATCHES,
        "Linear scaling of the learning rate, and its end",
        "Best rate: {law}. Its local exponent, 1 where the rate grows in proportion to the batch size, is "
        "{small} at a batch of {smallest} and {large} at {largest}.",
        "20 s",
        figure="learning_rate.png",
    ),
    _entry(
        "perfect_scaling",
        BATCHES,
        "Perfect scaling, diminishing returns, saturation",
        "Critical batch size {critical}: below it, twice the batch halves the steps. However large the batch, "
        "{fewest_steps} steps are needed; however small, {fewest_examples} examples.",
        "20 s",
        recipe="linear_scaling",
        figure="steps_to_goal.png",
    ),
    _entry(
        "nine_panels",
        BATCHES,
        "Nine workloads in small: each has its own critical batch size",
        "The networks of Shallue et al. (2019) in small, mostly on data that stand in for the originals. Critical batch "
        "sizes: Simple CNN {a}, on Fashion-MNIST {b}; ResNet-8 {c}; ResNet-50 {d}, with many labels {e}; Transformer "
        "{f}, on the other texts {g}; VGG-11 {h}; LSTM: {i}. Of too few settings to be relied on: {doubted}.",
        "two hours",
        figure="steps_to_goal.png",
        long=True,
    ),
    _entry(
        "batch_schedule",
        BATCHES,
        "A smaller rate and a larger batch do the same",
        "Small network with SGD: the loss with a batch that doubles at three milestones is {doubling} times "
        "that with a rate that halves there; with neither it is {neither} times.",
        "3 min",
    ),
    _entry(
        "gradient_paths",
        OPTIMIZERS,
        "Momentum on an ill-conditioned quadratic",
        "The distance to the minimum shrinks per step by a factor of {gradient} with gradient descent (theory "
        "{gradient_theory}), {nesterov} with Nesterov's momentum (theory {nesterov_theory}) and {momentum} "
        "with momentum (theory {momentum_theory}). Nothing here is drawn by chance.",
        "5 s",
    ),
    _entry(
        "rare_features",
        OPTIMIZERS,
        "Adaptive methods learn rare features sooner",
        "Steps until the rarest feature, in 1 of 255 examples, is learned, mean over seeds: SGD {sgd}, "
        "RMSProp {rmsprop}, Adam {adam}, AdaGrad {adagrad}. Steps grow as this power of the frequency: "
        "{sgd_power} with SGD, {adam_power} with Adam.",
        "10 s",
    ),
    _entry(
        "same_gradient",
        OPTIMIZERS,
        "From RMSProp to Adam to LAMB, Shampoo and Muon",
        "Effective rank of the update, of {values} at most, that each makes of the same gradients: SGD {sgd}, "
        "RMSProp {rmsprop}, Adam {adam}, LAMB {lamb}, Shampoo {shampoo}, Muon {muon}. The gradient moves few "
        "directions, Muon nearly all alike.",
        "30 s",
    ),
    _entry(
        "optimizer_memory",
        OPTIMIZERS,
        "What an optimizer keeps in memory",
        "Bytes of state per parameter, measured: SGD {sgd}, momentum {momentum}, Adam {adam}, LAMB {lamb}, "
        "Muon {muon}, Shampoo {shampoo}; at most {apart} from what optim.state_bytes computes. Nothing here "
        "is drawn by chance.",
        "1 min",
    ),
    _entry(
        "training_and_test_error",
        REGULARIZATION,
        "Training and test error",
        "At width {width} the training error ends at {train} and the test error at {test}, after having been "
        "{least}. At width {narrow} they end at {narrow_train} and {narrow_test}.",
        "1 min",
    ),
    _entry(
        "early_stopping",
        REGULARIZATION,
        "Early stopping",
        "Stopped by the validation loss, the weights after {kept} of {epochs} epochs are kept. Their test "
        "loss is {loss} times that at the end, their test error differs from it by {error}.",
        "30 s",
    ),
    _entry(
        "l2_and_weight_decay",
        REGULARIZATION,
        "L2 and weight decay: the same for SGD, not for Adam",
        "Trained with a penalty and with decay of the same strength, the weights end up to {sgd} of their "
        "norm apart with SGD, which is rounding, and up to {adam} with Adam.",
        "15 s",
    ),
    _entry(
        "dropout_effect",
        REGULARIZATION,
        "Dropout: a thinned network at every step",
        "Test error at the end is {none} without dropout. With a share of {less_share} it differs from that "
        "by {less}, with {more_share} by {more}.",
        "30 s",
    ),
    _entry(
        "ridge",
        REGULARIZATION,
        "Ridge regression makes the problem well-conditioned",
        "Of 65 features and 40 examples the solution without a penalty is {without}. With it the condition "
        "number falls from {low} at lambda {low_lambda} to {high} at {high_lambda}; gradient descent and the "
        "normal equations agree to {distance}. Nothing here is drawn by chance.",
        "10 s",
    ),
    _entry(
        "lagrangian",
        REGULARIZATION,
        "The Lagrangian view: a penalty is a constraint",
        "For every strength of the penalty there is a radius of the constraint with the same solution: they "
        "are at most {distance} apart, and of the {all} coefficients under |θ|₁ both set {zeros} to zero, "
        "{same_zeros}. Nothing here is drawn by chance.",
        "15 s",
    ),
    _entry(
        "random_vs_grid",
        SEARCH,
        "Grid against random search",
        "Where one hyperparameter of three matters, 27 trials of a grid are {grid_rates} different learning "
        "rates, those of a random search {random_rates}. The grid's best loss is {random} times that of "
        "random search and {quasi_random} times that of a Sobol sequence (90 % intervals over repeats).",
        "20 s",
    ),
    _entry(
        "coarse_to_fine_grid",
        SEARCH,
        "From a coarse grid to a fine one",
        "The best loss of one even grid of {even} trials is {ratio} times that of three grids with {trials} "
        "trials together, each around the best cell of the one before.",
        "30 s",
    ),
    _entry(
        "bayes_model",
        SEARCH,
        "Bayesian search: a model, its uncertainty, the next point",
        "Ten trials, one after the other, find a loss {over_best} times the lowest of {dense} rates. The "
        "model's 90 % band holds {inside} of the curve.",
        "30 s",
    ),
    _entry(
        "mu_transfer",
        SEARCH,
        "The rate of a narrow network on a wide one: muTransfer",
        "From width {narrow} to {wide} the best rate moves by {standard} octaves under the standard "
        "parameterization and by {mup} under muP.",
        "1 min",
        figure="transfer.png",
    ),
)
