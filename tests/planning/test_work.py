# SPDX-License-Identifier: Apache-2.0
"""What programs do, counted: by hand, and of programs compiled here."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from ns_jax.planning import hlo, work

# A loop of 3 in a loop of 5; a matrix in HBM, sliced; a result in fast memory.
NESTED = """HloModule nested

%fused (param_0: bf16[10,8,16], param_1: s32[]) -> f32[4,16] {
  %param_0 = bf16[10,8,16]{2,1,0:T(8,128)(2,1)} parameter(0)
  %param_1 = s32[]{:T(128)S(6)} parameter(1)
  %zero = s32[] constant(0)
  %slice = bf16[1,8,16]{2,1,0:T(8,128)(2,1)} dynamic-slice(%param_0, %param_1, %zero, %zero), dynamic_slice_sizes={1,8,16}
  %weights = bf16[8,16]{1,0:T(8,128)(2,1)} bitcast(%slice)
  %one = bf16[] constant(1)
  %ones = bf16[4,8]{1,0} broadcast(%one), dimensions={}
  ROOT %dot.1 = f32[4,16]{1,0:T(8,128)S(1)} convolution(%ones, %weights), dim_labels=bf_io->bf
}

%inner_body (state.1: (s32[], bf16[10,8,16])) -> (s32[], bf16[10,8,16]) {
  %state.1 = (s32[], /*index=1*/bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) parameter(0)
  %i.1 = s32[] get-tuple-element(%state.1), index=0
  %w.1 = bf16[10,8,16]{2,1,0:T(8,128)(2,1)} get-tuple-element(%state.1), index=1
  %two = s32[] constant(2)
  %next.1 = s32[] add(%i.1, %two)
  %product = f32[4,16]{1,0:T(8,128)S(1)} fusion(%w.1, %i.1), kind=kOutput, calls=%fused, backend_config={"window_config":{"estimated_cycles":"7"}}
  ROOT %out.1 = (s32[], bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) tuple(%next.1, %w.1)
}

%inner_condition (state.2: (s32[], bf16[10,8,16])) -> pred[] {
  %state.2 = (s32[], bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) parameter(0)
  %i.2 = s32[] get-tuple-element(%state.2), index=0
  %end.2 = s32[] constant(6)
  ROOT %less.2 = pred[] compare(%i.2, %end.2), direction=LT
}

%outer_body (state.3: (s32[], bf16[10,8,16])) -> (s32[], bf16[10,8,16]) {
  %state.3 = (s32[], bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) parameter(0)
  %i.3 = s32[] get-tuple-element(%state.3), index=0
  %w.3 = bf16[10,8,16]{2,1,0:T(8,128)(2,1)} get-tuple-element(%state.3), index=1
  %start = s32[] constant(0)
  %from = (s32[], bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) tuple(%start, %w.3)
  %loop = (s32[], bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) while(%from), condition=%inner_condition, body=%inner_body
  %step = s32[] constant(1)
  %next.3 = s32[] add(%i.3, %step)
  ROOT %out.3 = (s32[], bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) tuple(%next.3, %w.3)
}

%outer_condition (state.4: (s32[], bf16[10,8,16])) -> pred[] {
  %state.4 = (s32[], bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) parameter(0)
  %i.4 = s32[] get-tuple-element(%state.4), index=0
  %end.4 = s32[] constant(9)
  ROOT %less.4 = pred[] compare(%i.4, %end.4), direction=LT
}

ENTRY %main (w: bf16[10,8,16]) -> bf16[10,8,16] {
  %w = bf16[10,8,16]{2,1,0:T(8,128)(2,1)} parameter(0)
  %first = s32[] constant(4)
  %begin = s32[] copy(%first)
  %state = (s32[], bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) tuple(%begin, %w)
  %loops = (s32[], bf16[10,8,16]{2,1,0:T(8,128)(2,1)}) while(%state), condition=%outer_condition, body=%outer_body
  ROOT %result = bf16[10,8,16]{2,1,0:T(8,128)(2,1)} get-tuple-element(%loops), index=1
}
"""  # noqa: E501


def compiled(function, *arguments):
  """The work of a function compiled for this machine."""
  text = jax.jit(function).lower(*arguments).compile().as_text()
  return work.count(hlo.parse(text))


def test_nested_loops_by_hand():
  done = work.count(hlo.parse(NESTED))
  (product,) = [o for o in done.operations if o.flops]
  assert product.times == 5 * 3
  assert product.flops == 15 * 2 * 4 * 8 * 16
  assert product.cycles == 15 * 7
  # The slice alone is read, 16 of its 128 lanes used; the result stays beside
  # the core.
  assert product.hbm_bytes == 15 * (8 * 128 * 2)
  assert done.unknown == ()


def test_a_loop_of_unknown_length_is_told():
  text = NESTED.replace(
    "%end.4 = s32[] constant(9)", "%end.4 = s32[] copy(%i.4)"
  )
  done = work.count(hlo.parse(text))
  assert len(done.unknown) == 1
  assert "loops" in done.unknown[0]


IN_PIECES = """HloModule pieces

%begin (param.1: f32[4,64]) -> (f32[4,64], f32[16,64]) {
  %param.1 = f32[4,64]{1,0:T(8,128)S(1)} parameter(0)
  %gather.1 = f32[16,64]{1,0:T(8,128)S(1)} all-gather(%param.1), channel_id=7, replica_groups=[1,4]<=[4], dimensions={0}, frontend_attributes={chain_id="3"}
  ROOT %begun = (f32[4,64]{1,0:T(8,128)S(1)}, f32[16,64]{1,0:T(8,128)S(1)}) custom-call(%gather.1), custom_call_target="AsyncCollectiveStart"
}

%go_on (param.2: f32[4,64], other: f32[8]) -> f32[16,64] {
  %param.2 = f32[4,64]{1,0:T(8,128)S(1)} parameter(0)
  %other = f32[8]{0:T(8)S(1)} parameter(1)
  ROOT %gather.2 = f32[16,64]{1,0:T(8,128)S(1)} all-gather(%param.2), channel_id=7, replica_groups=[1,4]<=[4], dimensions={0}, frontend_attributes={chain_id="3"}
}

ENTRY %main (x: f32[64,128]) -> f32[16,64] {
  %x = f32[64,128]{1,0:T(8,128)} parameter(0)
  %slice-start = ((f32[64,128]{1,0:T(8,128)}), f32[4,64]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%x), slice={[0:4], [0:64]}
  %slice-done = f32[4,64]{1,0:T(8,128)S(1)} slice-done(%slice-start)
  %first = (f32[4,64]{1,0:T(8,128)S(1)}, f32[16,64]{1,0:T(8,128)S(1)}) fusion(%slice-done), kind=kCustom, calls=%begin
  %part = f32[4,64]{1,0:T(8,128)S(1)} get-tuple-element(%first), index=0
  %beside = f32[8]{0:T(8)S(1)} constant({0, 0, 0, 0, 0, 0, 0, 0})
  ROOT %second = f32[16,64]{1,0:T(8,128)S(1)} fusion(%part, %beside), kind=kCustom, calls=%go_on
}
"""  # noqa: E501


def test_an_exchange_in_pieces_counts_once():
  (found,) = work.count(hlo.parse(IN_PIECES)).collectives
  assert (found.kind, found.times) == ("all-gather", 1)
  assert found.bytes == 16 * 64 * 4


def test_a_slice_fetched_ahead_is_read():
  # Of 8 x 128, what a tile holds; it is put beside the core.
  assert work.count(hlo.parse(IN_PIECES)).hbm_bytes == 8 * 128 * 4


def test_an_exchange_of_unknown_devices_is_told():
  text = IN_PIECES.replace("replica_groups=[1,4]<=[4]", "replica_groups={}")
  done = work.count(hlo.parse(text))
  assert done.collectives == ()
  assert done.unknown == ("first does not count: which devices?",)


def test_text_of_no_program():
  with pytest.raises(ValueError, match="no entry"):
    hlo.parse("HloModule nothing\n")


def layers(weights, x):
  step = lambda x, w: (jnp.tanh(x @ w), None)
  return jax.lax.scan(step, x, weights)[0]


@pytest.mark.parametrize("length", [1, 7])
def test_products_in_a_scan(length):
  weights, x = jnp.zeros((length, 64, 64)), jnp.zeros((32, 64))
  done = compiled(layers, weights, x)
  assert done.flops == length * 2 * 32 * 64 * 64
  assert done.unknown == ()


def test_products_of_a_gradient_in_a_scan():
  weights, x = jnp.zeros((5, 64, 64)), jnp.zeros((32, 64))
  loss = lambda weights: layers(weights, x).sum()
  done = compiled(jax.grad(loss), weights)
  # Forward, and back to the weights of all and to the input of all but one;
  # a compiler may leave that one in.
  once = 2 * 32 * 64 * 64
  assert done.flops in (14 * once, 15 * once)


def test_products_of_a_convolution():
  x, kernel = jnp.zeros((2, 40, 8)), jnp.zeros((3, 8, 16))
  convolve = lambda x, kernel: jax.lax.conv_general_dilated(
    x, kernel, (2,), [(1, 1)], dimension_numbers=("NWC", "WIO", "NWC")
  )
  done = compiled(convolve, x, kernel)
  # 20 outputs of 3 taps, the first of them over the edge.
  assert done.flops == 2 * 2 * 16 * 8 * (20 * 3 - 1)


def test_collectives_on_eight_devices():
  mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Auto,) * 2)

  def exchange(x):
    def local(x):
      return jax.lax.psum(x, "b"), jax.lax.all_gather(x, "a", tiled=True)

    return jax.shard_map(
      local, mesh=mesh, in_specs=P(("a", "b")), out_specs=(P("a"), P("b")),
      check_vma=False,
    )(x)  # fmt: skip

  x = jax.ShapeDtypeStruct(
    (64, 128), jnp.float32, sharding=NamedSharding(mesh, P(("a", "b")))
  )
  done = compiled(exchange, x)
  found = {c.kind: c for c in done.collectives}
  part = 8 * 128 * 4  # bytes of a device
  assert found["all-reduce"].group == (0, 1, 2, 3)
  assert found["all-reduce"].bytes == part
  assert found["all-reduce"].sent_bytes == 2 * 3 / 4 * part
  assert found["all-gather"].group == (0, 4)
  assert found["all-gather"].bytes == 2 * part
  assert found["all-gather"].sent_bytes == part


def test_collectives_in_a_loop():
  mesh = jax.make_mesh((8,), ("a",), axis_types=(AxisType.Auto,))

  def exchange(x):
    step = lambda x, _: (jax.lax.psum(x, "a") / 9.0, None)
    local = lambda x: jax.lax.scan(step, x, None, length=6)[0]
    return jax.shard_map(
      local, mesh=mesh, in_specs=P("a"), out_specs=P("a"), check_vma=False
    )(x)

  x = jax.ShapeDtypeStruct(
    (80,), jnp.float32, sharding=NamedSharding(mesh, P("a"))
  )
  (found,) = compiled(exchange, x).collectives
  assert (found.kind, found.bytes, found.times) == ("all-reduce", 40, 6)


@pytest.mark.parametrize(
  ("groups", "first"),
  [
    ("replica_groups={{0,2},{1,3}}", (0, 2)),
    ("replica_groups=[2,4]<=[8]", (0, 1, 2, 3)),
    ("replica_groups=[2,4]<=[4,2]T(1,0)", (0, 2, 4, 6)),
    ("replica_groups=mesh['x'=2,'y'=4] {'y'}", (0, 1, 2, 3)),
    ("replica_groups=mesh['x'=2,'y'=4] {'x'}", (0, 4)),
    ("replica_groups=mesh['x'=2,'y'=4] {'y':(2)2}", (0, 1)),
    ("replica_groups=mesh['x'=8] {'x':(4)2,'x':(1)2}", (0, 1, 4, 5)),
    ("replica_groups=mesh['x'=2,'y'=4], device_ids=([4,2]T(1,0)) {'y'}",
     (0, 2, 4, 6)),
    ("replica_groups=mesh['x'=2,'y'=4], device_ids=([8]) {'x'}", (0, 4)),
    ("replica_groups=mesh['x'=2,'y'=2], device_ids=(3,1,2,0) {'x'}", (3, 2)),
  ],
)  # fmt: skip
def test_groups(groups, first):
  text = f"""HloModule exchange

%add (a: f32[], b: f32[]) -> f32[] {{
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}}

ENTRY %main (x: f32[16]) -> f32[16] {{
  %x = f32[16]{{0}} parameter(0)
  ROOT %all = f32[16]{{0}} all-reduce(%x), channel_id=1, {groups}, to_apply=%add
}}
"""
  (found,) = work.count(hlo.parse(text)).collectives
  assert found.group == first
  assert found.bytes == 64


@pytest.mark.parametrize(
  ("pairs", "first"),
  [("{{0,1},{1,0}}", (0, 1)), ("{{0,0},{10,10},{11,12},{12,11}}", (11, 12))],
)
def test_pairs(pairs, first):
  text = f"""HloModule exchange

ENTRY %main (x: f32[16]) -> f32[16] {{
  %x = f32[16]{{0}} parameter(0)
  ROOT %y = f32[16]{{0}} collective-permute(%x), source_target_pairs={pairs}
}}
"""
  (found,) = work.count(hlo.parse(text)).collectives
  assert found.group == first
  assert found.sent_bytes == 64
