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
def _rmse(name, num_steps, path="vp"):
  schedule = gaussian.SCHEDULES[path]
  with jax.enable_x64(True):
    solver = samplers.SOLVERS[name]
    x_1 = jax.random.normal(jax.random.key(0), (4000, 1), jnp.float64)
    got = samplers.integrate(
      gaussian.denoiser(schedule),
      schedule,
      x_1,
      jax.random.key(1),
      times=_times(schedule, solver, num_steps),
      stepper=solver.stepper,
    )
    error = got - gaussian.exact(schedule, x_1, jnp.asarray(samplers.T_END))
    return float(jnp.sqrt(jnp.mean(error**2)))


def _times(schedule, solver, num_steps):
  return solver.make_times(schedule, num_steps, schedule.start, samplers.T_END)


@pytest.mark.parametrize("name", REFERENCE)
def test_error_is_the_solvers_own(name):
  for num_steps, reference in REFERENCE[name].items():
    assert _rmse(name, num_steps) <= 1.1 * reference


@pytest.mark.parametrize("path", gaussian.SCHEDULES)
@pytest.mark.parametrize("name", ORDERS)
def test_halving_the_step_shows_the_order(name, path):
  ratio = _rmse(name, 50, path) / _rmse(name, 100, path)
  assert ratio == pytest.approx(2 ** ORDERS[name], rel=0.12)


def _generate(name, num_steps, temperature, path="vp"):
  solver, schedule = samplers.SOLVERS[name], gaussian.SCHEDULES[path]
  return samplers.sample(
    gaussian.denoiser(schedule),
    schedule,
    samplers.initial_noise(jax.random.key(0), (40_000, 1), temperature),
    jax.random.key(1),
    times=_times(schedule, solver, num_steps),
    stepper=solver.stepper,
  )


@pytest.mark.parametrize("path", gaussian.SCHEDULES)
@pytest.mark.parametrize("name", sorted({*samplers.SOLVERS} - {"jump"}))
def test_samples_have_the_datas_mean_and_spread(name, path):
  x = _generate(name, 400, temperature=1.0, path=path)
  assert float(x.mean()) == pytest.approx(gaussian.MEAN, abs=0.01)
  assert float(x.std()) == pytest.approx(gaussian.STD, rel=0.03)


def test_temperature_divides_the_spread():
  x = _generate("euler", 150, temperature=1.2**2)
  assert float(x.std()) == pytest.approx(gaussian.STD / 1.2, rel=0.02)


@pytest.mark.parametrize(
  "name, num_steps, limit, path",
  [
    ("heun", 50, 1e-4, "vp"),
    ("heun", 50, 1e-4, "straight"),
    ("euler", 150, 6e-3, "vp"),
  ],
)
def test_forward_then_backward_returns_to_the_data(
  name, num_steps, limit, path
):
  schedule = gaussian.SCHEDULES[path]
  with jax.enable_x64(True):
    solver = samplers.SOLVERS[name]
    noise = jax.random.normal(jax.random.key(0), (2000, 1), jnp.float64)
    x = gaussian.MEAN + gaussian.STD * noise
    times = _times(schedule, solver, num_steps)
    move = functools.partial(
      samplers.integrate,
      gaussian.denoiser(schedule),
      schedule,
      stepper=solver.stepper,
    )
    x_1 = move(x, jax.random.key(1), times=times[::-1])
    back = move(x_1, jax.random.key(1), times=times)
    rmse = float(jnp.sqrt(jnp.mean((back - x) ** 2)))
    spread = float(jnp.std(x_1))
  assert spread == pytest.approx(1.0, rel=0.05)
  assert rmse < limit


@pytest.mark.parametrize("path", gaussian.SCHEDULES)
def test_what_is_left_at_the_jump_comes_back(path):
  """To the first order: half the error in twice the steps."""
  schedule, solver = gaussian.SCHEDULES[path], samplers.SOLVERS["jump"]
  errors = []
  with jax.enable_x64(True):
    x = jnp.linspace(-1.0, 2.0, 50, dtype=jnp.float64)[:, None]
    for num_steps in (50, 100):
      times, moved = _times(schedule, solver, num_steps), x
      for grid in (times[::-1], times):
        moved = samplers.integrate(
          gaussian.denoiser(schedule),
          schedule,
          moved,
          jax.random.key(0),
          times=grid,
          stepper=solver.stepper,
        )
      errors.append(float(jnp.abs(moved - x).max()))
  assert errors[0] < 0.1
  assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.2)


@pytest.mark.parametrize("path", gaussian.SCHEDULES)
def test_x0_between_leads_from_one_place_to_the_other(path):
  """A solver that is told it needs no more than one step."""
  schedule, t, t_next = gaussian.SCHEDULES[path], 0.9, 0.3
  with jax.enable_x64(True):
    x, x_next = jax.random.normal(jax.random.key(0), (2, 5, 1), jnp.float64)
    x0 = samplers.x0_between(schedule, x, x_next, t, t_next)
    got = samplers.integrate(
      lambda x, t: x0,
      schedule,
      x,
      jax.random.key(0),
      times=jnp.asarray([t, t_next]),
      stepper=samplers.ddim,
    )
    np.testing.assert_allclose(got, x_next, rtol=1e-10)


def test_the_grid_of_jumps_ends_where_data_is_heard():
  solver = samplers.SOLVERS["jump"]
  for schedule in gaussian.SCHEDULES.values():
    times = _times(schedule, solver, 3)
    assert times.shape == (4,) and float(times[0]) == pytest.approx(1.0, 1e-3)
    assert float(schedule.log_snr(times[-1])) == pytest.approx(0.5, abs=1e-3)


def test_ode_solvers_ignore_the_key_and_sde_solvers_use_it():
  x = samplers.initial_noise(jax.random.key(0), (3, 2), 1.0)
  schedule = gaussian.SCHEDULES["vp"]
  for name, solver in samplers.SOLVERS.items():
    times = _times(schedule, solver, 4)
    one, two = (
      samplers.sample(
        gaussian.denoiser(schedule),
        schedule,
        x,
        jax.random.key(seed),
        times=times,
        stepper=solver.stepper,
      )
      for seed in (1, 2)
    )
    is_sde = name in ("euler_maruyama", "ancestral")
    assert np.array_equal(one, two) != is_sde, name
