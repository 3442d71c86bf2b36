# SPDX-License-Identifier: Apache-2.0
"""Shapes, gradients and layout of the discriminators."""

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax import sharding
from ns_jax.models import discriminators

TINY = discriminators.Discriminators(
  wave_channels=(4, 8, 8),
  wave_groups=(2, 1),
  stft_channels=2,
  band_channels=2,
  band_windows=(256,),
)


def _shapes(module, samples):
  def run(wav):
    variables = module.init(jax.random.key(0), wav)
    return variables["params"], module.apply(variables, wav)

  return jax.eval_shape(run, jax.ShapeDtypeStruct((2, samples), jnp.float32))


def test_stft_logits_are_one_per_eight_hops():
  for samples, frames in ((16_000, 63), (8_000, 32)):
    module = discriminators.StftDiscriminator(2)
    _, (logits, features) = _shapes(module, samples)
    assert logits.shape == (2, -(-frames // 8))
    assert features[0].shape == (2, frames, 512, 2)
    assert features[-1].shape == (2, -(-frames // 8), 8, 2 * 16)


def test_wave_logits_fall_by_four_per_layer():
  params, (logits, features) = _shapes(
    discriminators.WaveDiscriminator(
      (16, 64, 256, 1024, 1024), (4, 16, 64, 256)
    ),
    16_000,
  )
  assert logits.shape == (2, 63)
  widths = [feature.shape[-1] for feature in features]
  assert widths == [16, 64, 256, 1024, 1024, 1024]
  # Groups of four input channels.
  for i in range(4):
    assert params[f"down_{i}"]["kernel"].shape[:2] == (41, 4)


def test_scales_halve_the_rate_and_judges_differ():
  params, judgements = _shapes(TINY, 4_000)
  lengths = [logits.shape[1] for logits, _ in judgements]
  # 63 frames of 129 bins in five bands, each an eighth as wide, rounded up.
  assert lengths == [250, 125, 63, 2, 63 * (2 + 3 + 4 + 5 + 4)]
  assert set(params) == {"wave_0", "wave_1", "wave_2", "stft", "bands_0"}


def test_kinds_without_channels_are_left_out():
  module = TINY.clone(stft_channels=0, wave_channels=(), wave_groups=())
  params, judgements = _shapes(module, 4_000)
  assert set(params) == {"bands_0"}
  assert len(judgements) == 1
  params, _ = _shapes(TINY.clone(band_channels=0), 4_000)
  assert "bands_0" not in params


def test_periods_see_every_pth_sample():
  """T-C12: what does not fill a period is mirrored; phases do not mix."""
  judge = discriminators.PeriodDiscriminator(3, (4, 8, 8))
  wav = jax.random.normal(jax.random.key(0), (2, 100))
  params = jax.jit(judge.init)(jax.random.key(1), wav)
  apply = jax.jit(judge.apply)
  logits, features = apply(params, wav)
  # 34 periods, of which each of two layers leaves a third, rounded up.
  assert logits.shape == (2, 3 * 4)
  assert [f.shape for f in features] == [
    (2, 3, n, c) for n, c in ((12, 4), (4, 8), (4, 8))
  ]
  mirrored = jnp.concatenate([wav, wav[:, 98:96:-1]], axis=1)
  np.testing.assert_array_equal(apply(params, mirrored)[0], logits)
  moved = apply(params, wav.at[0, 31].add(1.0))
  changed = np.abs(moved[1][0] - features[0]).max(axis=(2, 3)) > 0
  np.testing.assert_array_equal(changed, [[False, True, False], [False] * 3])
  alone = discriminators.PeriodDiscriminator(1, (4, 8))
  assert _shapes(alone, 90)[1][0].shape == (2, 30)


def test_the_size_of_one_of_hifigans():
  """The five hold 41.1 M, counted with the scales of the weights' norms."""
  judge = discriminators.PeriodDiscriminator(2, (32, 128, 512, 1024, 1024))
  params, _ = _shapes(judge, 8192)
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  assert count == 8_218_433 + 2721


def test_bands_cover_all_bins_and_do_not_overlap():
  """Whatever the window, every bin is seen by one band, and by one alone."""
  for window in (256, 512, 1024, 2048):
    judge = discriminators.BandDiscriminator(1, window)
    _, (_, features) = _shapes(judge, window)
    first_of_each = features[::4]
    assert len(first_of_each) == 5
    assert sum(f.shape[2] for f in first_of_each) == window // 2 + 1


def test_half_rate_keeps_a_constant():
  halved = discriminators._half_rate(jnp.full((1, 9), 3.0))
  np.testing.assert_allclose(halved, np.full((1, 4), 3.0), atol=1e-6)


def test_gradients_reach_parameters_and_wave():
  wav = jax.random.normal(jax.random.key(1), (2, 2_000))
  judges = TINY.clone(num_wave_scales=1)
  params = jax.jit(judges.init)(jax.random.key(0), wav)["params"]

  def total(params, wav):
    judgements = judges.apply({"params": params}, wav)
    return sum(jnp.sum(logits**2) for logits, _ in judgements)

  gradients = jax.jit(jax.grad(total, argnums=(0, 1)))
  for path, grad in jax.tree_util.tree_leaves_with_path(gradients(params, wav)):
    assert jnp.isfinite(grad).all() and jnp.abs(grad).max() > 0, path
  _, silent = gradients(params, jnp.zeros_like(wav))
  assert jnp.isfinite(silent).all()


def test_partition_rules_match_and_divide():
  mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
  params, _ = _shapes(TINY, 2_000)
  for rule in discriminators.PARTITION_RULES:
    shardings = sharding.tree_shardings(params, mesh, (rule,))
    split = [
      (leaf.shape, placed)
      for leaf, placed in zip(
        jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True
      )
      if placed.spec == rule[1]
    ]
    assert split
    for shape, placed in split:
      placed.shard_shape(shape)  # raises where an axis does not divide
