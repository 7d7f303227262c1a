"""Programs that differ in numbers alone, made into one that takes these numbers as an argument.

A learning rate, a temperature or what Python has computed of both stands in a traced program as a
constant. Programs of several settings are traced, compared equation by equation, and where only
constants differ the first one is evaluated with those of another in their place.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Where a number stands: of the equations on the way to it the numbers, and the names of the parts.
Place = tuple[int | str, ...]
LIBRARIES = ('jax', 'flax', 'optax')
CONSTANT, OUTPUT = '(constant)', '(output)'  # in place of an equation's part
# What these compute is written out: all of it, or where a number in it differs. No derivative is
# taken of a lifted program, so that rules of derivatives, parts of the former, no longer matter.
RULED = ('custom_jvp_call', 'custom_vjp_call')
CALLS = dict.fromkeys((*RULED, 'closed_call', 'core_call'), 'call_jaxpr')
PROGRAMS = dict.fromkeys(('jit', 'pjit', 'checkpoint', 'remat2'), 'jaxpr')


class OtherProgram(Exception):
    """Programs differ in more than numbers; the text says in what."""


@dataclasses.dataclass(frozen=True, eq=False)
class Lifted:
    """One program for several settings.

    Attributes:
      call: ``call(numbers, *arguments)``, a pure function.
      numbers: those of each setting, an array (K, ...) for each that differs.
      sources: which line of code each of them stands in, such as ``cosine_momentum (teacher.py)``.
    """

    call: Callable[..., Any]
    numbers: tuple[np.ndarray, ...]
    sources: tuple[str, ...] = ()

    def of(self, setting: int) -> tuple[np.ndarray, ...]:
        """The numbers of one setting."""
        return tuple(values[setting] for values in self.numbers)


def lift(functions: Sequence[Callable[..., Any]], *arguments: Any) -> Lifted:
    """The functions of several settings as one.

    Args:
      functions: pure functions of the same arguments.
      arguments: pytrees of arrays, or of their shapes.

    Raises:
      OtherProgram: they differ in more than numbers.

    Examples:
      >>> import jax.numpy as jnp
      >>> lifted = lift([lambda x: 2.0 * x, lambda x: 3.0 * x], jnp.ones(()))
      >>> print(lifted.call(lifted.of(1), 5.0))
      15.0
    """
    traced = [jax.make_jaxpr(function, return_shape=True)(*arguments) for function in functions]
    programs = [program for program, _ in traced]
    tree: Any = jax.tree.structure(traced[0][1])
    if any(jax.tree.structure(shapes) != tree for _, shapes in traced):
        raise OtherProgram('the results have other parts')
    places = dict(_compare(programs, ()))

    def call(numbers: Sequence[jax.Array], *arguments: Any) -> Any:
        known = dict(zip(places, numbers, strict=True))
        evaluation = Evaluation(known)
        return jax.tree.unflatten(tree, evaluation.run(programs[0], jax.tree.leaves(arguments)))

    sources = tuple(_source(programs[0], place) for place in places)
    return Lifted(call, tuple(np.stack(values) for values in places.values()), sources)


def _source(program: Any, place: Place) -> str:
    """The function in which a number stands, the innermost that is not of a library for arrays."""
    equation, inside = None, program
    for part in place[:-1]:
        if part in (CONSTANT, OUTPUT):
            break
        if hasattr(inside, 'eqns'):
            equation = inside.eqns[part]
            inside = equation.params
        else:
            inside = inside[part]
    frames = [] if equation is None else equation.source_info.traceback.frames
    for frame in frames:
        if not any(f'{os.sep}{name}{os.sep}' in frame.file_name for name in LIBRARIES):
            return f'{frame.function_name} ({Path(frame.file_name).name})'
    return 'a constant'


def _compare(programs: Sequence[ClosedJaxpr], place: Place) -> Iterator[tuple[Place, Any]]:
    """The places where numbers differ, and the numbers there."""
    if all(program is programs[0] for program in programs):
        return
    _agree('constants', [len(program.consts) for program in programs])
    for position, values in enumerate(zip(*(program.consts for program in programs), strict=True)):
        yield from _compare_numbers(values, (*place, CONSTANT, position))
    yield from _compare_equations([program.jaxpr for program in programs], place)


def _compare_equations(jaxprs: Sequence[Jaxpr], place: Place) -> Iterator[tuple[Place, Any]]:
    names: list[dict[Any, int]] = [{} for _ in jaxprs]  # of variables, by where they are made
    for part in ('constvars', 'invars'):
        _define(names, [getattr(jaxpr, part) for jaxpr in jaxprs])
    _agree('operations', [len(jaxpr.eqns) for jaxpr in jaxprs])
    for number, equations in enumerate(zip(*(jaxpr.eqns for jaxpr in jaxprs), strict=True)):
        here = (*place, number)
        _agree('operations', [equation.primitive.name for equation in equations])
        yield from _compare_atoms([equation.invars for equation in equations], names, here)
        yield from _compare_parts(equations, here)
        _define(names, [equation.outvars for equation in equations])
    yield from _compare_atoms([jaxpr.outvars for jaxpr in jaxprs], names, (*place, OUTPUT))


def _define(names: Sequence[dict[Any, int]], variables: Sequence[Sequence[Any]]) -> None:
    """Numbers the variables that are made at one place of each program."""
    _agree('shapes', [[variable.aval for variable in made] for made in variables])
    for known, made in zip(names, variables, strict=True):
        for variable in made:
            known[variable] = len(known)


def _compare_atoms(
    atoms: Sequence[Sequence[Any]], names: Sequence[Mapping[Any, int]], place: Place
) -> Iterator[tuple[Place, Any]]:
    """Inputs of an equation, or outputs of a program: variables, or numbers that may differ."""
    _agree('inputs', [len(several) for several in atoms])
    for position, same in enumerate(zip(*atoms, strict=True)):
        literal = [isinstance(atom, Literal) for atom in same]
        if all(literal):
            _agree('types of numbers', [atom.aval for atom in same])
            yield from _compare_numbers([atom.val for atom in same], (*place, position))
        else:
            pairs = zip(same, literal, names, strict=True)
            _agree('inputs', [None if lit else known[atom] for atom, lit, known in pairs])


def _compare_numbers(values: Sequence[Any], place: Place) -> Iterator[tuple[Place, Any]]:
    if all(value is values[0] for value in values):
        return
    arrays = [np.asarray(_without_key(value)) for value in values]
    _agree('types of numbers', [(array.dtype, array.shape) for array in arrays])
    if all(array.tobytes() == arrays[0].tobytes() for array in arrays):
        return
    if any(_without_key(value) is not value for value in values):
        raise OtherProgram('keys of random numbers differ')
    yield place, arrays


def _without_key(value: Any) -> Any:
    """The bits of a key of random numbers, anything else as it is."""
    typed = isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(value) if typed else value


def _compare_parts(equations: Sequence[Any], place: Place) -> Iterator[tuple[Place, Any]]:
    """What an operation is given besides its inputs: sizes, options, programs inside it."""
    _agree('operations', [sorted(equation.params) for equation in equations])
    primitive, parts = equations[0].primitive.name, equations[0].params
    if primitive == 'debug_callback':  # a function, made anew at each tracing, that only tells
        return
    # a Python function beside a program, as of `reduce`, is the one that the program is traced from
    traced = any(isinstance(part, Jaxpr | ClosedJaxpr) for part in parts.values())
    names = [name for name, part in parts.items() if not (traced and callable(part))]
    for name in (CALLS[primitive],) if primitive in RULED else names:
        values = [equation.params[name] for equation in equations]
        yield from _compare_values(values, (*place, name))


def _compare_values(values: Sequence[Any], place: Place) -> Iterator[tuple[Place, Any]]:
    first = values[0]
    if all(value is first for value in values):
        return
    _agree('options of operations', [type(value) for value in values])
    if isinstance(first, ClosedJaxpr):
        yield from _compare(values, place)
    elif isinstance(first, Jaxpr):
        yield from _compare_equations(values, place)
    elif isinstance(first, tuple | list):
        _agree('options of operations', [len(value) for value in values])
        for position, inner in enumerate(zip(*values, strict=True)):
            yield from _compare_values(inner, (*place, position))
    elif isinstance(first, np.ndarray):
        _agree('options of operations', [value.tolist() for value in values])
    else:
        _agree('options of operations', values)


def _agree(what: str, values: Sequence[Any]) -> None:
    for value in values[1:]:
        if value != values[0]:
            raise OtherProgram(f'{what} differ: {_short(values[0])} and {_short(value)}')


def _short(value: Any) -> str:
    text = ' '.join(str(value).split())
    return text if len(text) < 60 else f'{text[:57]}...'


class Evaluation:
    """Evaluates a program with other numbers at some places."""

    def __init__(self, numbers: Mapping[Place, jax.Array]) -> None:
        self.numbers = numbers
        # of the equations that hold a program in which a number is replaced
        self.opened = {
            place[:end]
            for place in numbers
            for end in range(1, len(place))
            if isinstance(place[end], str) and place[end] not in (CONSTANT, OUTPUT)
        }

    def run(self, program: Any, inputs: Sequence[Any], place: Place = ()) -> list[Any]:
        """The outputs of a program, closed or (that of a `checkpoint`) open."""
        closed = isinstance(program, ClosedJaxpr)
        jaxpr: Jaxpr = program.jaxpr if closed else program
        constants = program.consts if closed else ()
        values = {
            variable: self.numbers.get((*place, CONSTANT, position), value)
            for position, (variable, value) in enumerate(
                zip(jaxpr.constvars, constants, strict=True)
            )
        }
        values |= zip(jaxpr.invars, inputs, strict=True)
        self.run_equations(jaxpr.eqns, values, place)
        return self._read(jaxpr.outvars, values, (*place, OUTPUT))

    def run_equations(
        self, equations: Sequence[Any], values: dict[Any, Any], place: Place = ()
    ) -> None:
        """Adds what equations compute to the `values` of variables."""
        for number, equation in enumerate(equations):
            here = (*place, number)
            given = self._read(equation.invars, values, here)
            values |= zip(equation.outvars, self._apply(equation, given, here), strict=True)

    def _read(self, atoms: Sequence[Any], values: Mapping[Any, Any], place: Place) -> list[Any]:
        def read(position: int, atom: Any) -> Any:
            if isinstance(atom, Literal):
                return self.numbers.get((*place, position), atom.val)
            return values[atom]

        return [read(position, atom) for position, atom in enumerate(atoms)]

    def _apply(self, equation: Any, given: list[Any], place: Place) -> Sequence[Any]:
        primitive, parts = equation.primitive, equation.params
        part = CALLS.get(primitive.name)
        if part is None and place not in self.opened:
            found = primitive.bind(*given, **parts)
            return found if primitive.multiple_results else [found]
        if part := part or PROGRAMS.get(primitive.name):
            if parts.get('prevent_cse') and parts.get('differentiated'):
                given = jax.lax.optimization_barrier(given)  # what is computed twice stays so
            return self.run(parts[part], given, (*place, part))
        if primitive.name not in CONTROL:
            raise OtherProgram(f'a number differs inside {primitive.name}')
        return CONTROL[primitive.name](self, parts, given, place)


def _scan(to: Evaluation, parts: Mapping[str, Any], given: list[Any], place: Place) -> list[Any]:
    fixed, carried = _counts(parts)
    constants, start = given[:fixed], given[fixed : fixed + carried]

    def body(carry: Any, row: Any) -> Any:
        found = to.run(parts['jaxpr'], [*constants, *carry, *row], (*place, 'jaxpr'))
        return found[:carried], found[carried:]

    options = {name: parts[name] for name in ('length', 'reverse', 'unroll')}
    end, rows = jax.lax.scan(body, start, given[fixed + carried :], **options)
    return [*end, *rows]


def _counts(parts: Mapping[str, Any]) -> tuple[int, int]:
    """How many inputs of a scan are constants, and how many are carried."""
    if 'num_consts' in parts:
        return parts['num_consts'], parts['num_carry']
    constants, carried, _ = parts['ft_in'].elts  # from JAX 0.11 on
    return len(constants), len(carried)


def _while(to: Evaluation, parts: Mapping[str, Any], given: list[Any], place: Place) -> list[Any]:
    first, second = parts['cond_nconsts'], parts['cond_nconsts'] + parts['body_nconsts']

    def going_on(carry: Any) -> Any:
        inputs = [*given[:first], *carry]
        return to.run(parts['cond_jaxpr'], inputs, (*place, 'cond_jaxpr'))[0]

    def body(carry: Any) -> Any:
        inputs = [*given[first:second], *carry]
        return to.run(parts['body_jaxpr'], inputs, (*place, 'body_jaxpr'))

    found: list[Any] = jax.lax.while_loop(going_on, body, given[second:])
    return found


def _cond(to: Evaluation, parts: Mapping[str, Any], given: list[Any], place: Place) -> list[Any]:
    def branch(number: int) -> Callable[..., Any]:
        program = parts['branches'][number]
        return lambda *inputs: to.run(program, inputs, (*place, 'branches', number))

    branches = [branch(number) for number in range(len(parts['branches']))]
    found: list[Any] = jax.lax.switch(given[0], branches, *given[1:])
    return found


CONTROL = {'scan': _scan, 'while': _while, 'cond': _cond}
