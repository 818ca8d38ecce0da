"""Random values passed from guest to guest by the specification's reference definitions.

    python3 cases.py DIRECTORY-OF-definitions.py SEED COUNT

Prints one case per line, as JSON: types, values, what lowering them into a first guest made of its memory, and what
carrying them on to a second guest made of that one's, also after something in the first was changed at random.

Floats are passed as their bits: what a NaN becomes is not fixed by the specification.
"""

import __future__
import json
import pathlib
import random
import sys
import types

# The definitions name types before they define them, which Python does by itself from 3.14 on.
path = pathlib.Path(sys.argv[1]) / 'definitions.py'
code = compile(path.read_text(), path, 'exec', flags=__future__.annotations.compiler_flag)
definitions = types.ModuleType('definitions')
sys.modules['definitions'] = definitions
exec(code, definitions.__dict__)
globals().update({name: v for name, v in vars(definitions).items() if not name.startswith('__')})

for name in ['decode_i32_as_float', 'decode_i64_as_float', 'encode_float_as_i32', 'encode_float_as_i64',
             'canonicalize_nan32', 'canonicalize_nan64', 'maybe_scramble_nan32', 'maybe_scramble_nan64']:
    setattr(definitions, name, lambda bits: bits)

PRIMITIVES = {
    'bool': BoolType, 's8': S8Type, 'u8': U8Type, 's16': S16Type, 'u16': U16Type, 's32': S32Type, 'u32': U32Type,
    's64': S64Type, 'u64': U64Type, 'f32': F32Type, 'f64': F64Type, 'char': CharType, 'string': StringType,
}
CODE_POINTS = 'aaaabz\0\x7f\x80\xe9\xff\u0100\u20ac\ud7ff\ue000\U0001f600\U0010ffff'


def random_type(depth):
    if depth == 0 or random.random() < 0.4:
        if random.random() < 0.2:
            kind, count = random.choice([('enum', 3), ('enum', 257), ('flags', random.randint(1, 32))])
            return {kind: count}
        return random.choice(list(PRIMITIVES) + ['string'])
    part = lambda: random_type(depth - 1)
    maybe = lambda: part() if random.random() < 0.7 else None
    several = lambda f: [f() for _ in range(random.randint(1, 4))]
    return random.choice([
        lambda: {'list': part()}, lambda: {'fixed': [part(), random.randint(1, 3)]}, lambda: {'map': [part(), part()]},
        lambda: {'record': several(part)}, lambda: {'tuple': several(part)}, lambda: {'variant': several(maybe)},
        lambda: {'option': part()}, lambda: {'result': [maybe(), maybe()]},
    ])()


def type_of(t):
    if t is None:
        return None
    if isinstance(t, str):
        return PRIMITIVES[t]()
    [(kind, parts)] = t.items()
    match kind:
        case 'list': return ListType(type_of(parts))
        case 'fixed': return ListType(type_of(parts[0]), parts[1])
        case 'map': return MapType(type_of(parts[0]), type_of(parts[1]))
        case 'record': return RecordType([FieldType(f'l{i}', type_of(p)) for i, p in enumerate(parts)])
        case 'tuple': return TupleType([type_of(p) for p in parts])
        case 'variant': return VariantType([CaseType(f'l{i}', type_of(p)) for i, p in enumerate(parts)])
        case 'enum': return EnumType([f'l{i}' for i in range(parts)])
        case 'option': return OptionType(type_of(parts))
        case 'result': return ResultType(type_of(parts[0]), type_of(parts[1]))
        case 'flags': return FlagsType([f'l{i}' for i in range(parts)])


def random_value(t):
    """A value twice: as JSON for the test, and as the reference definitions see it."""
    if isinstance(t, str):
        match t:
            case 'bool':
                v = random.random() < 0.5
                return v, v
            case 'char':
                v = random.choice(CODE_POINTS)
                return v, v
            case 'string':
                v = ''.join(random.choices(CODE_POINTS[:random.randint(1, len(CODE_POINTS))], k=random.randint(0, 9)))
                return v, (v, 'utf8', len(v.encode('utf-8')))
        bits = int(t[1:])
        low = -(1 << bits - 1) if t[0] == 's' else 0
        v = random.choice([low, low + (1 << bits) - 1, low + random.getrandbits(bits), 1])
        return str(v), v
    [(kind, parts)] = t.items()
    record = lambda labels, ts: tuple(map(list_or_dict, zip(*[random_value(p) for p in ts]), (None, labels)))
    case = lambda label, p: (None, {label: None}) if p is None else (lambda v: (v[0], {label: v[1]}))(random_value(p))
    match kind:
        case 'list':
            return pairs([random_value(parts) for _ in range(random.randint(0, 3))])
        case 'fixed':
            return pairs([random_value(parts[0]) for _ in range(parts[1])])
        case 'map':
            return pairs([random_value({'tuple': parts}) for _ in range(random.randint(0, 3))])
        case 'record':
            return record([f'l{i}' for i in range(len(parts))], parts)
        case 'tuple':
            return record([str(i) for i in range(len(parts))], parts)
        case 'variant':
            i = random.randrange(len(parts))
            shown, v = case(f'l{i}', parts[i])
            return [i, shown], v
        case 'enum':
            i = random.randrange(parts)
            return i, {f'l{i}': None}
        case 'option':
            i = random.randrange(2)
            shown, v = case(['none', 'some'][i], [None, parts][i])
            return [i, shown], v
        case 'result':
            i = random.randrange(2)
            shown, v = case(['ok', 'error'][i], parts[i])
            return [i, shown], v
        case 'flags':
            bits = random.getrandbits(parts)
            return bits, {f'l{i}': bool(bits >> i & 1) for i in range(parts)}


def list_or_dict(values, labels):
    return list(values) if labels is None else dict(zip(labels, values))


def pairs(values):
    return [v[0] for v in values], [v[1] for v in values]


class Guest(LiftLowerContext):
    """A guest with a bump allocator that records its calls."""

    def __init__(self, width, encoding, memory, last=0):
        opts = CanonicalOptions()
        opts.memory = MemInst(bytearray(memory), f'i{width}')
        opts.string_encoding = encoding
        opts.realloc = None
        super().__init__(opts, None)
        self.width, self.last, self.calls = width, last, []

    def reallocate(self, old, old_size, alignment, new_size):
        self.calls.append([old, old_size, alignment, new_size])
        if old != 0 and new_size < old_size:
            return align_to(old, alignment)
        ptr = align_to(self.last, alignment)
        self.last = ptr + new_size
        memory = self.opts.memory.bytes
        if self.last > len(memory):
            trap()
        memory[ptr:ptr + old_size] = memory[old:old + old_size]
        return ptr

    def describe(self, max_flat, flat):
        return {'width': self.width, 'encoding': self.opts.string_encoding, 'max_flat': max_flat, 'calls': self.calls,
                'flat': [str(v) for v in flat], 'memory': self.opts.memory.bytes.hex()}


SIZE = 1 << 16


def random_guest(widths=(32, 64)):
    return Guest(random.choice(widths), random.choice(['utf8', 'utf16', 'latin1+utf16']), bytes(SIZE))


def carry(source, max_flat, flat, ts):
    # `store_string_into_range` looks for the source's `utf16_tag` where the target's is, so they have to agree.
    tagged = source.opts.string_encoding == 'latin1+utf16'
    target, target_max = random_guest([source.width] if tagged else (32, 64)), random.choice([0, 1, 4, 16])
    iterator = CoreValueIter(flat)
    try:
        values = lift_flat_values(source, max_flat, iterator, ts)
        lowered = lower_flat_values(target, target_max, values, ts)
        trapped = False
    except Trap:
        lowered, trapped = [], True
    used = max(target.last, 1)
    result = target.describe(target_max, lowered) | {'trap': trapped}
    result['memory'] = target.opts.memory.bytes[:used].hex()
    return result


def disturbed(source, max_flat, flat, ts):
    """The source with some bytes or flat values changed."""
    memory = bytearray(source.opts.memory.bytes[:max(source.last, 1)])
    for _ in range(random.randint(0, 3)):
        memory[random.randrange(len(memory))] = random.choice([0, 1, 2, 3, 0x80, 0xd8, 0xff, random.getrandbits(8)])
    guest = Guest(source.width, source.opts.string_encoding, memory)
    core = flatten_types(ts, guest.opts)
    if len(core) > max_flat:
        core = [f'i{source.width}']
    flat = list(flat)
    for _ in range(random.randint(0, 2)):
        i = random.randrange(len(flat))
        value = random.choice([0, 1, 2, 3, 255, len(memory), (1 << 64) - 1, random.getrandbits(64)])
        flat[i] = value % (1 << int(core[i][1:]))
    return guest, flat


def one_case():
    shapes = [random_type(3) for _ in range(random.randint(1, 3))]
    ts = [type_of(t) for t in shapes]
    shown, values = pairs([random_value(t) for t in shapes])
    source, max_flat = random_guest(), random.choice([0, 1, 4, 16])
    flat = lower_flat_values(source, max_flat, values, ts)
    case = {'types': shapes, 'values': shown, 'source': source.describe(max_flat, flat), 'carries': []}
    case['source']['memory'] = source.opts.memory.bytes[:max(source.last, 1)].hex()
    for i in range(4):
        guest, changed = (source, flat) if i == 0 else disturbed(source, max_flat, flat, ts)
        result = carry(guest, max_flat, changed, ts)
        used = guest.opts.memory.bytes[:max(source.last, 1)]
        case['carries'].append({'memory': used.hex(), 'flat': [str(v) for v in changed], 'target': result})
    return case


random.seed(int(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    print(json.dumps(one_case()))
