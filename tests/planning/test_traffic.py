"""Bytes and messages of compiled programs, beside numbers counted by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.planning import traffic
from jssl.planning.hlo import Program, read

ROW = 4 * 64
TEXT = """
%updated (param_0: f32[1000,64], param_1: f32[2,64], param_2: s32[]) -> f32[1000,64] {
  %param_0 = f32[1000,64]{1,0} parameter(0)
  %param_1 = f32[2,64]{1,0} parameter(1)
  %param_2 = s32[] parameter(2)
  %twice = f32[2,64]{1,0} add(%param_1, %param_1)
  ROOT %out = f32[1000,64]{1,0} dynamic-update-slice(%param_0, %twice, %param_2, %param_2)
}

%some (param_0: f32[1000,64], param_1: s32[]) -> f32[4,64] {
  %param_0 = f32[1000,64]{1,0} parameter(0)
  %flat = f32[1000,64]{1,0} bitcast(%param_0)
  %param_1 = s32[] parameter(1)
  ROOT %rows = f32[4,64]{1,0} dynamic-slice(%flat, %param_1, %param_1), dynamic_slice_sizes={4,64}
}

%body (at: (f32[2,64])) -> (f32[2,64]) {
  %at = (f32[2,64]{1,0}) parameter(0)
  %x = f32[2,64]{1,0} get-tuple-element(%at), index=0
  %sum = f32[2,64]{1,0} all-reduce(%x), channel_id=1, replica_groups={{0,1},{2,3}}, to_apply=%add
  ROOT %next = (f32[2,64]{1,0}) tuple(%sum)
}

ENTRY %main (bank: f32[1000,64], rows: f32[2,64], at: s32[]) -> f32[1000,64] {
  %bank = f32[1000,64]{1,0} parameter(0)
  %rows = f32[2,64]{1,0} parameter(1)
  %at = s32[] parameter(2)
  %read = f32[4,64]{1,0} fusion(%bank, %at), kind=kLoop, calls=%some
  %start = (f32[2,64]{1,0}) tuple(%rows)
  %loop = (f32[2,64]{1,0}) while(%start), body=%body, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %written = f32[1000,64]{1,0} fusion(%bank, %rows, %at), kind=kLoop, calls=%updated
}
"""


def only(line: str) -> Program:
    """A program of one instruction on the inputs x, of 4 KiB, and y, of 64 bytes."""
    return read(
        'ENTRY %main (x: f32[1024], y: f32[16]) -> f32[16] {\n'
        '%x = f32[1024]{0} parameter(0)\n%y = f32[16]{0} parameter(1)\n'
        f'ROOT %out = {line}\n}}'
    )


def test_rows_that_are_read_and_written_in_place_count_and_not_the_bank() -> None:
    program = read(TEXT)
    around, index = 2 * 2 * ROW * 3, 4
    read_rows = 4 * ROW + 4 * ROW + index
    written = 2 * 2 * ROW + 2 * ROW + index  # the rows, and what they are made of
    assert traffic.moved(program) == around + read_rows + written
    assert traffic.kernels(program) == 3 + 2


def test_messages_of_a_loop_are_sent_at_every_turn() -> None:
    ((message, times),) = traffic.collectives(read(TEXT), devices=4).items()
    assert times == 3
    assert message == traffic.Collective('all-reduce', 2 * ROW, 2 * ROW, devices=2, hosts=1)


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('f32[1024]{0} copy(%x)', 2 * 4096),
        ('f32[16]{0} slice(%x), slice={[0:16]}', 2 * 64),
        ('f32[1024]{0} dynamic-update-slice(%x, %y, %i)', 2 * 64),
        ('f32[1024]{0} scatter(%x, %i, %y), to_apply=%add', 3 * 64),
        ('(f32[16]{0}, u8[999]{0}) custom-call(%x), custom_call_target="__cublas$gemm"', 4096 + 64),
        ('(f32[1024]{0:S(1)}, f32[1024]{0}, u32[]) copy-start(%x)', 4096),
        ('(f32[1024]{0}, f32[16]{0:S(1)}, u32[]) slice-start(%x)', 64),
        ('f32[1024]{0} bitcast(%x)', 0),
        ('f32[1024]{0} all-reduce-done(%x)', 0),
    ],
)
def test_instructions_move_what_they_need(line: str, expected: int) -> None:
    assert traffic.moved(only(line)) == expected


@pytest.mark.parametrize(
    ('line', 'whole', 'sent', 'devices', 'hosts'),
    [
        ('f32[16] all-reduce(%y), replica_groups={}', 64, 2 * 64 * 7 / 8, 8, 2),
        ('f32[64] all-gather(%y), replica_groups=[2,4]<=[8]', 256, 192, 4, 1),
        ('f32[64] all-gather(%y), replica_groups=[2,4]<=[4,2]T(1,0)', 256, 192, 4, 2),
        ("f32[8] reduce-scatter(%y), replica_groups=mesh['a'=2,'b'=4] {'b'}", 64, 48, 4, 1),
        ("f32[8] reduce-scatter(%y), replica_groups=mesh['a'=2,'b'=4] {'a'}", 64, 32, 2, 2),
        ('f32[16] all-to-all(%y), replica_groups={{0,1},{2,3}}', 64, 32, 2, 1),
        ('f32[16] collective-permute(%y), source_target_pairs={{3,4},{4,3}}', 64, 64, 2, 2),
    ],
)
def test_a_message_says_who_sends_how_much(
    line: str, whole: int, sent: float, devices: int, hosts: int
) -> None:
    (found,) = traffic.collectives(only(line), devices=8, hosts=2)
    assert found[1:] == (whole, sent, devices, hosts)


def test_the_parts_of_a_message_on_one_channel_are_one() -> None:
    line = (
        'f32[16] all-reduce-start(%y), channel_id=5\n%more = f32[16] all-reduce(%y), channel_id=5'
    )
    assert traffic.collectives(only(line), devices=2).total() == 1


def test_without_a_loop_bytes_are_those_that_xla_counts_where_it_does() -> None:
    def loss(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        for weight in weights:
            x = jnp.tanh(x @ weight)
        return jnp.mean(x**2)

    given = [np.ones((64, 64), 'float32')] * 3, np.ones((256, 64), 'float32')
    program = jax.jit(jax.value_and_grad(loss)).lower(*given).compile()
    counted: Any = program.cost_analysis()
    moved = traffic.moved(read(program.as_text() or ''))
    assert moved == pytest.approx(counted['bytes accessed'], rel=0.1)


def test_a_callback_is_found_and_so_is_a_large_copy() -> None:
    def told(x: jax.Array) -> jax.Array:
        jax.debug.callback(lambda x: None, x)
        return jnp.sum(x)

    text = jax.jit(told).lower(np.ones(4, 'float32')).compile().as_text()
    assert traffic.to_host(read(text or ''))
    assert not traffic.to_host(read(TEXT))
    assert traffic.copied(only('f32[1024]{0} copy(%x)'), least=4096) == [(1024,)]
    assert traffic.copied(only('f32[1024]{0} copy(%x)'), least=4097) == []
    back = '(f32[1024]{0}, f32[1024]{0:S(1)}) copy-start(%x)'
    assert traffic.copied(only(back), least=4096) == [(1024,)]
    kept = only(back).computations['main']['x']._replace(arrays=())
    program = Program({'main': {**only(back).computations['main'], 'x': kept}}, 'main')
    assert traffic.copied(program, least=4096) == []  # from where it was kept
