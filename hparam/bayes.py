"""Bayesian optimization by a Gaussian process, in batches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import erfcx, ndtr

from hparam.fresh import fresh_segments, sobol
from hparam.gaussian_process import Posterior, fantasize, fit, predict
from hparam.search import Key, Plan, Search, State, generator, make_search
from hparam.space import Space, rows

TRANSFORM = "none"
Points = Float[np.ndarray, "n dims"]


class Cells(NamedTuple):
    points: Points
    loss: np.ndarray
    noise: np.ndarray | None
    running: Points


def cells_of(space, state):
    told, running = {}, []
    for s in state.segments.values():
        if s.told: told.setdefault(space.hash(s.setting), []).append(s)
        else: running.append(s.setting)
    sett = [v[0].setting for v in told.values()]
    losses = [[s.loss for s in v] for v in told.values()]
    mean = np.array([np.mean(l) for l in losses])
    pts = to_points(space, sett)
    return Cells(pts, mean, None, to_points(space, running))

def to_points(space, settings):
    v = np.array(settings, dtype=float).reshape(len(settings), len(space))
    return space.to_unit({n: v[:, i] for i, n in enumerate(space.names)})

def transform(y):
    from scipy.stats import yeojohnson
    if TRANSFORM == "none": return y
    if TRANSFORM == "yj":
        z = (y - y.mean())/y.std()
        return yeojohnson(z)[0]
    if TRANSFORM == "winsor":
        med = np.median(y); return np.minimum(y, med + 1.0*(med-y.min()))
    if TRANSFORM.startswith("log"):
        q = float(TRANSFORM[3:]); s = np.median(y)-y.min()
        return np.log(y-y.min()+q*s)
    if TRANSFORM == "boxwin":
        med = np.median(y); y= np.minimum(y, med + 2.0*(med-y.min()))
        z = (y - y.mean())/y.std()
        return yeojohnson(z)[0]

def log_ei(mean, std, best):
    z = (best - mean) / std
    far = z < -1
    tail = np.minimum(z, -1)
    lt = -tail**2/2 - 0.5*np.log(2*np.pi) + np.log(np.maximum(1 - np.abs(tail)*np.sqrt(np.pi/2)*erfcx(np.abs(tail)/np.sqrt(2)), 1e-300))
    zz = np.maximum(z, -1)
    near = np.log(np.exp(-zz**2/2)/np.sqrt(2*np.pi) + zz*ndtr(zz))
    return np.log(std) + np.where(far, lt, near)

def bayes(space: Space, initial=None, explore=0.1, num_candidates=1024):
    initial = max(2*len(space)+2, 8) if initial is None else initial
    def plan(key, state, n):
        rng = generator(key, len(state.segments))
        c = cells_of(space, state)
        ok = np.isfinite(c.loss)
        if ok.sum() < initial or np.ptp(c.loss[ok]) == 0:
            return Plan(fresh_segments(space, key, state, n))
        pts = batch(space, c, n, rng, explore, num_candidates)
        return Plan(fresh_segments(space, key, state, n, first=rows(space.from_unit(pts))))
    return make_search(space, plan)

def batch(space, c, n, rng, explore, num_candidates):
    ok = np.isfinite(c.loss)
    y = transform(c.loss[ok])
    post = fit(c.points[ok], y, c.noise, int(rng.integers(2**31)))
    if len(c.running): post = fantasize(post, c.running)
    picks = []
    order = np.argsort(y)
    for j in range(n):
        m, _ = predict(post, post.points)
        best = m.min()
        centres = post.points[np.argsort(m)[:8]]
        def score(x):
            mean, std = predict(post, x)
            if j >= n - int(explore*n): return np.log(std)
            return log_ei(mean, std, best)
        cand = np.concatenate([rng.random((num_candidates, len(space))), perturb(rng, np.repeat(centres, 32, 0), 0.1), perturb(rng, np.repeat(centres, 32, 0), 0.01)])
        sc = score(cand)
        scale = 0.1
        for r in range(7):
            top = np.argsort(-sc)[:6]
            new = perturb(rng, np.repeat(cand[top], 24, 0), scale)
            cand = np.concatenate([cand[top], new]); sc = np.concatenate([sc[top], score(new)])
            scale *= 0.5
        x = cand[np.argmax(sc)]
        picks.append(x)
        post = fantasize(post, x[None])
    return np.array(picks)

def perturb(rng, x, scale):
    mask = rng.random(x.shape) < max(0.5, 1/x.shape[1])
    mask[np.arange(len(x)), rng.integers(x.shape[1], size=len(x))] = True
    z = x + scale*rng.standard_normal(x.shape)*mask
    return 1 - np.abs(1 - np.abs(np.clip(z, -1, 2)))
