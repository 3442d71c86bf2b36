# SPDX-License-Identifier: Apache-2.0
"""Solvers on Gaussian data, whose paths are known in closed form."""

import functools

import gaussian
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.diffusion import samplers

# RMSE against the exact path from t = 1 to 1e-3, by number of steps.
REFERENCE = {
  "euler": {10: 0.0259, 50: 0.0065, 100: 0.0033, 150: 0.0022},
  "heun": {10: 0.0132, 50: 6.4e-4, 100: 1.6e-4, 150: 7.3e-5},
  "ddim": {10: 0.1066, 50: 0.0235, 100: 0.0119, 150: 0.0080},
  "dpmpp_2m": {10: 0.0169, 50: 0.0012, 100: 3.0e-4, 150: 1.3e-4},
}
ORDERS = {"euler": 1, "ddim": 1, "heun": 2, "dpmpp_2m": 2}


@functools.cache
def _rmse(name, num_steps):
  with jax.enable_x64(True):
    solver = samplers.SOLVERS[name]
    x_1 = jax.random.normal(jax.random.key(0), (4000, 1), jnp.float64)
    times = solver.make_times(gaussian.SCHEDULE, num_steps, 1.0, samplers.T_END)
    got = samplers.integrate(
      gaussian.denoise,
      gaussian.SCHEDULE,
      x_1,
      jax.random.key(1),
      times=times,
      stepper=solver.stepper,
    )
    error = got - gaussian.exact(x_1, jnp.asarray(samplers.T_END))
    return float(jnp.sqrt(jnp.mean(error**2)))


@pytest.mark.parametrize("name", REFERENCE)
def test_error_is_the_solvers_own(name):
  for num_steps, reference in REFERENCE[name].items():
    assert _rmse(name, num_steps) <= 1.1 * reference


@pytest.mark.parametrize("name", ORDERS)
def test_halving_the_step_shows_the_order(name):
  ratio = _rmse(name, 50) / _rmse(name, 100)
  assert ratio == pytest.approx(2 ** ORDERS[name], rel=0.12)


def _generate(name, num_steps, temperature, num=40_000):
  solver = samplers.SOLVERS[name]
  return samplers.sample(
    gaussian.denoise,
    gaussian.SCHEDULE,
    samplers.initial_noise(jax.random.key(0), (num, 1), temperature),
    jax.random.key(1),
    times=solver.make_times(gaussian.SCHEDULE, num_steps, 1.0, samplers.T_END),
    stepper=solver.stepper,
  )


@pytest.mark.parametrize("name", samplers.SOLVERS)
def test_samples_have_the_datas_mean_and_spread(name):
  x = _generate(name, 200, temperature=1.0)
  assert float(x.mean()) == pytest.approx(gaussian.MEAN, abs=0.01)
  assert float(x.std()) == pytest.approx(gaussian.STD, rel=0.03)


def test_temperature_divides_the_spread():
  x = _generate("euler", 150, temperature=1.2**2)
  assert float(x.std()) == pytest.approx(gaussian.STD / 1.2, rel=0.02)


@pytest.mark.parametrize(
  "name, num_steps, limit", [("heun", 50, 1e-4), ("euler", 150, 6e-3)]
)
def test_forward_then_backward_returns_to_the_data(name, num_steps, limit):
  with jax.enable_x64(True):
    solver = samplers.SOLVERS[name]
    noise = jax.random.normal(jax.random.key(0), (2000, 1), jnp.float64)
    x = gaussian.MEAN + gaussian.STD * noise
    times = solver.make_times(gaussian.SCHEDULE, num_steps, samplers.T_END, 1.0)
    move = functools.partial(
      samplers.integrate,
      gaussian.denoise,
      gaussian.SCHEDULE,
      stepper=solver.stepper,
    )
    x_1 = move(x, jax.random.key(1), times=times)
    back = move(x_1, jax.random.key(1), times=times[::-1])
    rmse = float(jnp.sqrt(jnp.mean((back - x) ** 2)))
    spread = float(jnp.std(x_1))
  assert spread == pytest.approx(1.0, rel=0.05)
  assert rmse < limit


def test_ode_solvers_ignore_the_key_and_sde_solvers_use_it():
  x = samplers.initial_noise(jax.random.key(0), (3, 2), 1.0)
  for name, solver in samplers.SOLVERS.items():
    times = solver.make_times(gaussian.SCHEDULE, 4, 1.0, samplers.T_END)
    one, two = (
      samplers.sample(
        gaussian.denoise,
        gaussian.SCHEDULE,
        x,
        jax.random.key(seed),
        times=times,
        stepper=solver.stepper,
      )
      for seed in (1, 2)
    )
    is_sde = name in ("euler_maruyama", "ancestral")
    assert np.array_equal(one, two) != is_sde, name
