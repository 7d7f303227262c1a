"""Texts of compiled programs."""

from jssl.planning.hlo import Array, read

TEXT = """
HloModule jit_step, is_scheduled=true

%fused (param_0: f32[8,3], param_1.2: s32[]) -> (f32[8,3], f32[2,3]) {
  %param_0 = f32[8,3]{1,0} parameter(0)
  %param_1.2 = s32[]{:S(6)} parameter(1)
  ROOT %tuple = (f32[8,3]{1,0}, /*index=1*/f32[2,3]{1,0}) tuple(%param_0, %param_0)
}

ENTRY %main.7 (p: bf16[10,100], q: (f32[4], pred[4])) -> f32[8,3] {
  %p = bf16[10,100]{1,0:T(8,128)(2,1)} parameter(0), sharding={replicated}
  %key = token[] after-all()
  %local = f32[4]{0:T(128)S(1)} copy(f32[4]{0} %q), metadata={op_name="a(b)[c]"}
  %loop = (f32[4]{0}) while(%local), condition=%c, body=%b, backend_config={"known_trip_count":{"n":"12"}}
  %choice = f32[4]{0} conditional(%i, %local, %p), branch_computations={%one, %two}
  ROOT %fusion = f32[8,3]{1,0} fusion(%p, /*index=1*/%key), kind=kLoop, calls=%fused
}
"""  # noqa: E501


def test_computations_instructions_and_arrays_are_read() -> None:
    program = read(TEXT)
    assert (program.entry, [*program.computations]) == ('main.7', ['fused', 'main.7'])
    lines = program.computations['main.7']
    assert [line.opcode for line in lines.values()] == [
        *('parameter', 'after-all', 'copy', 'while', 'conditional', 'fusion')
    ]
    assert lines['fusion'].operands == ('p', 'key')
    assert lines['fusion'].is_root
    assert not lines['p'].is_root
    assert lines['local'].operands == ('q',)
    root = program.computations['fused']['tuple']
    assert [array.sides for array in root.arrays] == [(8, 3), (2, 3)]
    assert program.computations['fused']['param_1.2'].operands == ('1',)


def test_bytes_are_those_of_a_tiled_array_in_the_main_memory() -> None:
    lines = read(TEXT).computations['main.7']
    # Tiles of 8 x 128: 16 x 128 entries.
    assert lines['p'].arrays == (Array('bf16', (10, 100), 2 * 16 * 128, True),)
    assert lines['local'].arrays == (Array('f32', (4,), 4 * 128, False),)
    assert lines['local'].bytes == lines['key'].bytes == 0
    assert lines['fusion'].bytes == 4 * 8 * 3


def test_loops_and_branches_name_what_they_do() -> None:
    lines = read(TEXT).computations['main.7']
    assert (lines['loop'].turns, lines['fusion'].turns) == (12, 1)
    assert lines['loop'].called == {'condition': 'c', 'body': 'b'}
    assert lines['choice'].called == {'branch 0': 'one', 'branch 1': 'two'}
    assert lines['fusion'].called == {'calls': 'fused'}
