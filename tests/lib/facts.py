"""expect.txt -> questions to gdb, each with the one right answer.

A program prints facts before it dies (cores/src/c/facts.h). Each line that states a value is
read here; a line of an unknown form in the middle of known ones is an error, so that a new fact
is not silently left unchecked.
"""
import math
import re


class Question:
    """One value: in which thread and frame, by which gdb command, and what it must be."""

    def __init__(self, name, command, want, tid=None, function=None):
        self.name, self.command, self.want = name, command, want
        self.tid, self.function = tid, function

    def right(self, answer):
        if answer is None:
            return False
        if callable(self.want):
            return self.want(answer)
        if isinstance(self.want, int):
            m = re.search(r'(-?)(0x[0-9a-f]+|\d+)$', re.sub(r'\s*<.*>$|\s*".*"$', '', answer))
            return bool(m) and int(m[1] + m[2], 0) == self.want
        if isinstance(self.want, bytes):
            return bytes_of(answer) == self.want
        return answer == self.want

    def __repr__(self):
        want = 'a value' if callable(self.want) else self.want
        if isinstance(want, int):
            want = hex(want)
        return '%s (%s): want %s' % (self.name, self.command, want)


def bytes_of(answer):
    """gdb's {0x1, 0x81, ...}"""
    numbers = re.fullmatch(r'\{(.*)\}', answer)
    try:
        return bytes(int(n, 0) for n in numbers[1].split(',')) if numbers else None
    except ValueError:
        return None


def value(name, expression, want, **where):
    return Question(name, 'output/x ' + expression if isinstance(want, int) and want >= 0
                    else 'output/d ' + expression, want, **where)


def text(name, expression, want, **where):
    return Question(name, 'printf "%%s", %s' % expression, want, **where)


def near(number):
    def check(answer):
        try:
            return abs(float(answer) - number) < 1e-15 * max(1, abs(number))
        except ValueError:
            return False
    return check


def two_digits(n):
    """n of the C fixtures' patterns: two decimal digits, read as hex."""
    return int('%02d' % n, 16)


def pattern(n):
    return 0xc0de0000beef0000 | two_digits(n) << 32 | two_digits(n)


def vector(n, size):
    """vpattern of threads.c"""
    return bytes([n] + [0x80 + j for j in range(1, size)])


# Facts of a line, by its form. A handler yields questions.

def fact_variable(m, state):
    """[function.]name@address[ = value]"""
    function, name, addr, rest = m['function'], m['name'], int(m['addr'], 16), m['rest']
    where = dict(tid=state.crashed, function=function) if function else {}
    yield value('&' + name, '&' + name, addr, **where)
    if re.fullmatch(r'-?\d+', rest):
        yield value(name, name, int(rest), **where)
    elif re.fullmatch(r'"[^"]*"', rest):
        yield text(name, '(char *) ' + name, rest[1:-1], **where)
    elif re.fullmatch(r'-?\d+( -?\d+)+', rest):
        yield Question(name, 'output/d ' + name, '{%s}' % ', '.join(rest.split()), **where)
    elif rest:
        raise ValueError('value of an unknown form: ' + rest)


def fact_size(m, _state):
    yield value('&' + m['name'], '&' + m['name'], int(m['addr'], 16))
    yield value('sizeof ' + m['name'], 'sizeof ' + m['name'], int(m['size']))


def fact_arguments(m, state):
    where = dict(tid=state.crashed, function=m['function'])
    yield text(m['name'], m['name'], m['text'], **where)
    yield Question(m['other'], 'output ' + m['other'], near(float(m['number'])), **where)


def fact_list_node(m, state):
    node = 'g_list' + '->next' * state.nodes
    state.nodes += 1
    yield value(node, node, int(m['addr'], 16))
    yield value(node + '->value', node + '->value', int(m['value']))
    yield text(node + '->name', node + '->name', m['name'])
    yield value(node + '->next', node + '->next', 0 if m['next'] == '(nil)' else int(m['next'], 16))


def fact_thread(m, state):
    tid, n = int(m['tid']), int(m['n'])
    state.threads[n] = tid
    yield text('tls_name', 'tls_name', m['name'], tid=tid)
    yield value('&tls_id', '&tls_id', int(m['id_addr'], 16), tid=tid)
    yield value('tls_id', 'tls_id', int(m['id'] or n), tid=tid)
    yield value('&tls_magic', '&tls_magic', int(m['magic_addr'], 16), tid=tid)
    yield value('tls_magic', 'tls_magic', int(m['magic'] or '0x7153a91c00000000', 16), tid=tid)
    if m['bss']:
        yield value('&tls_bss', '&tls_bss', int(m['bss'], 16), tid=tid)
        yield value('tls_bss[%d]' % (n & 3), 'tls_bss[%d]' % (n & 3), 100 + n, tid=tid)


def fact_thread_pointer(m, state):
    yield value('$' + m['reg'], '$' + m['reg'], int(m['value'], 16), tid=state.threads[int(m['n'])])


def spinner(state):
    return state.threads[1]


def fact_spin_x(m, state):
    for n in range(int(m['first']), int(m['last']) + 1):
        yield value('$x%d' % n, '$x%d' % n, pattern(n), tid=spinner(state))


def fact_spin_v(m, state):
    for n in range(32):
        yield Question('$v%d' % n, 'output/x $v%d.b.u' % n, vector(n, 16), tid=spinner(state))


def fact_spin_register(m, state):
    name, want = m['name'], int(m['value'], 16)
    if name == 'nzcv':
        yield value('$cpsr & 0xf0000000', '($cpsr & 0xf0000000)', want, tid=spinner(state))
    else:
        yield value('$' + name, '$' + name, want, tid=spinner(state))


def fact_spin_gpr(m, state):
    registers = re.findall(r'(r[a-d]x|r[sd]i|r8) (\d\d)', m['registers'])
    registers += [('r%d' % n, '%02d' % n) for n in range(9, 16)]
    for name, n in registers:
        yield value('$' + name, '$' + name, pattern(int(n)), tid=spinner(state))


def fact_spin_x87(_m, state):
    for n, number in enumerate((math.log2(math.e), math.pi, 1.0)):
        yield Question('$st%d' % n, 'output $st%d' % n, near(number), tid=spinner(state))


def fact_spin_vector(m, state):
    size = {'x': 16, 'y': 32, 'z': 64}[m['kind']]
    for n in range(int(m['last']) + 1):
        register = '$%smm%d' % (m['kind'], n)
        yield Question(register, 'output/x %s.v%d_int8' % (register, size), vector(n, size),
                       tid=spinner(state))
    if m['masks']:
        for n in range(8):
            yield value('$k%d' % n, '$k%d' % n, int(m['masks'] + str(n), 16), tid=spinner(state))


def fact_plugin_entry(m, _state):
    yield value('&plugin_entry', '&plugin_entry', int(m['addr'], 16))


def fact_plugin_state(m, _state):
    yield value('&plugin_state', '&plugin_state', int(m['addr'], 16))
    yield text('plugin_state.name', 'plugin_state.name', m['name'])
    yield value('plugin_state.version', 'plugin_state.version', int(m['version']))


def fact_si_addr(m, state):
    yield value('si_addr', '$_siginfo._sifields._sigfault.si_addr', int(m['addr'], 16), tid=state.crashed)


def fact_sve_vl(m, state):
    state.vl = int(m['vl'])
    yield value('$vg', '$vg', state.vl // 8)


def fact_sve_z(_m, state):
    for n in range(32):
        yield Question('$z%d' % n, 'output/x $z%d.b.u' % n,
                       bytes([n] + [j & 0xff for j in range(1, state.vl)]))


def fact_sve_p(m, state):
    for n in range(16):
        true = state.vl if n == 0 else n if n <= int(m['last']) else 0
        bits = (1 << true) - 1
        yield Question('$p%d' % n, 'output/x $p%d' % n, bits.to_bytes(state.vl // 8, 'little'))


def fact_tags(m, _state):
    """
    Only the first two granules: the emulator's LDGM, by which the kernel saved the tags, gave two of
    16 (QEMU 7.2), so the core does not hold what the program set behind them. values.py compares
    all tags with those that the core does hold.
    """
    pointer, page, tag = int(m['value'], 16), int(m['page'], 16), int(m['tag'])
    yield value('&g_tagged', '&g_tagged', int(m['addr'], 16))
    yield value('g_tagged', 'g_tagged', pointer)
    yield from allocation_tags([(page, tag), (page + 16, tag)])
    yield Question('logical tag', 'memory-tag print-logical-tag g_tagged',
                   lambda answer: answer.endswith('= 0x%x' % tag))
    yield Question('tag check', 'memory-tag check g_tagged',
                   lambda answer: 'match' in answer and 'mismatch' not in answer and 'does not' not in answer)


def allocation_tags(tags):
    """Questions for a list of (address, tag)."""
    for addr, tag in tags:
        yield Question('tag of 0x%x' % addr, 'memory-tag print-allocation-tag 0x%x' % addr,
                       lambda answer, want=tag: answer.endswith('= 0x%x' % want))


HEX = r'0x[0-9a-f]+'
FORMS = [
    (r'list node@(?P<addr>%s) value (?P<value>-?\d+) name (?P<name>\S+) next (?P<next>\S+)' % HEX, fact_list_node),
    (r'thread\.(?P<n>\d+) = name (?P<name>\S+) tid (?P<tid>\d+) tls_id@(?P<id_addr>%s)(?: (?P<id>\d+))?'
     r' tls_magic@(?P<magic_addr>%s)(?: (?P<magic>0x\w+))?(?: tls_bss@(?P<bss>%s))?' % (HEX, HEX, HEX), fact_thread),
    (r'thread\.(?P<n>\d+)\.(?P<reg>tpidr|fs_base) = (?P<value>%s)' % HEX, fact_thread_pointer),
    (r'spin\.x<n> = 0xc0de00<n>beef00<n> for n of (?P<first>\d+)\.\.(?P<last>\d+), .*', fact_spin_x),
    (r'spin\.v<n> = bytes n 81 82 .*', fact_spin_v),
    (r'spin\.(?P<name>fpcr|fpsr|gs_base|mxcsr|nzcv) = (?P<value>%s)(?: \(.*\))?' % HEX, fact_spin_register),
    (r'spin\.gpr = 0xc0de00<n>beef00<n>: (?P<registers>.*)', fact_spin_gpr),
    (r'spin\.st0 = log2\(e\), st1 = pi, st2 = 1', fact_spin_x87),
    (r'spin\.vector = (?P<kind>[xyz])mm0\.\.[xyz]mm(?P<last>\d+): bytes n 81 82 .*?'
     r'(?:; k<n> = (?P<masks>0x\w+)<n>)?', fact_spin_vector),
    (r'plugin \S+ plugin_entry@(?P<addr>%s)' % HEX, fact_plugin_entry),
    (r'plugin_state@(?P<addr>%s) name (?P<name>\S+) version (?P<version>\d+)' % HEX, fact_plugin_state),
    (r'si_addr = (?P<addr>%s)' % HEX, fact_si_addr),
    (r'sve\.vl = (?P<vl>\d+) bytes', fact_sve_vl),
    (r'sve\.z<n> = bytes n 01 02 03 .*', fact_sve_z),
    (r'sve\.p0 = all true, p<n> = the first n bytes true for n of 1\.\.(?P<last>\d+), others false', fact_sve_p),
    (r'g_tagged@(?P<addr>%s) = (?P<value>%s), granules (?P<first>\d+)\.\.(?P<last>\d+) of page (?P<page>%s)'
     r' have tag (?P<tag>\d+), others 0' % (HEX, HEX, HEX), fact_tags),
    (r'(?P<name>\w+)@(?P<addr>%s) size (?P<size>\d+)' % HEX, fact_size),
    (r'(?P<function>\w+)\.(?P<name>\w+) = "(?P<text>[^"]*)" (?P<other>\w+) = (?P<number>[0-9.]+)', fact_arguments),
    (r'(?:(?P<function>\w+)\.)?(?P<name>\w+)@(?P<addr>%s)(?: = (?P<rest>.*))?' % HEX, fact_variable),
]
# What says nothing that a debugger could read back.
PROSE = re.compile(r'program = |pid = |kind = |crash = |signal = |maps-(begin|end)$|[0-9a-f]{8,16}-[0-9a-f]{8,16} |$')


class State:
    def __init__(self, expect):
        self.crashed = expect.tids[0] if expect.tids else None
        self.threads, self.nodes, self.vl = {}, 0, 0


def questions(expect):
    """All questions that the facts of one run answer."""
    state, out = State(expect), []
    for line in expect.stdout:
        for form, handler in FORMS:
            m = re.fullmatch(form, line)
            if m:
                groups = {k: v or '' for k, v in m.groupdict().items()}
                out += handler(groups, state)
                break
        else:
            if not PROSE.match(line):
                raise ValueError('no form for this fact: ' + line)
    for name, want in expect.dmesg_registers().items():
        if name != 'pstate':
            out.append(value('$' + name, '$' + name, want, tid=state.crashed))
    if expect.siginfo:
        signo, code, _ = expect.siginfo
        out.append(value('si_signo', '$_siginfo.si_signo', signo, tid=state.crashed))
        out.append(value('si_code', '$_siginfo.si_code', code, tid=state.crashed))
    return out
