#!/usr/bin/env python3
"""Lines of triage that never were cores, for tests of reports: generate.py COUNT [SEED] > FILE"""
import datetime
import json
import random
import sys

PROGRAMS = [
    ('/srv/shop/bin/checkout', 'go', 'example.org/shop/checkout'), ('/srv/shop/bin/catalog', 'go', 'example.org/shop/catalog'),
    ('/usr/sbin/edge-proxy', 'c', None), ('/usr/lib/media/transcode', 'c', None), ('/opt/ledger/ledgerd', 'c', None),
]
GO = ['(*Server).handle', '(*Cart).Add', 'priceOf', '(*Pool).get', 'decode', '(*Index).lookup', 'merge', '(*Queue).push', 'refresh', 'render']
C = ['parse_header', 'frame_copy', 'pool_release', 'on_readable', 'queue_pop', 'decode_block', 'ledger_append', 'tls_feed', 'hash_find', 'arena_grow']
SIGNALS = {'SIGSEGV': (11, 'SEGV_MAPERR'), 'SIGABRT': (6, 'SI_TKILL'), 'SIGBUS': (7, 'BUS_ADRERR'), 'SIGFPE': (8, 'FPE_INTDIV')}
REGISTERS = {'x86_64': ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r12', 'rip'],
             'aarch64': ['x0', 'x1', 'x2', 'x8', 'x19', 'x29', 'x30', 'sp', 'pc']}
BEGIN = datetime.datetime(2026, 10, 1, tzinfo=datetime.timezone.utc)


class Fault:
    """One bug: everything that its cores share."""

    def __init__(self, rng, number):
        self.number = number
        self.program, self.language, self.module = rng.choice(PROGRAMS)
        names = GO if self.language == 'go' else C
        package = self.module.rsplit('/', 1)[1] + '.' if self.module else ''
        self.functions = ['%s%s' % (package, rng.choice(names)) for _ in range(rng.randint(3, 9))]
        self.functions[0] += '_%d' % number
        self.lines = [rng.randint(10, 900) for _ in self.functions]
        self.signal = rng.choices(list(SIGNALS), [8, 4, 1, 1])[0]
        self.weight = rng.paretovariate(1.1)
        self.begin = rng.random() * 0.9
        self.deadlock = self.language == 'go' and number % 17 == 3
        self.panic = self.language == 'go' and not self.deadlock and rng.random() < 0.6


def frames(fault, build, rng):
    suffix = '.go' if fault.language == 'go' else '.c'
    out = []
    for i, (name, line) in enumerate(zip(fault.functions, fault.lines)):
        source = '/src/%s/%s%s' % (fault.program.rsplit('/', 1)[1], name.split('.')[-1].strip('()*').lower()[:12], suffix)
        out.append({'function': name, 'file': source, 'line': line + build, 'module': fault.program,
                    'module_offset': hex(0x40000 + fault.number * 0x1000 + i * 0x130 + build)})
    if fault.language == 'c' and rng.random() < 0.2:
        out.insert(2, {'function': 'retry', 'module': fault.program, 'module_offset': '0x3f000'})
    skip = []
    if fault.signal == 'SIGABRT' and fault.language == 'c':
        skip = ['__pthread_kill_implementation', 'raise', 'abort']
    elif fault.language == 'go':
        skip = ['runtime.raise', 'runtime.dieFromSignal', 'runtime.sigpanic'] if not fault.panic else ['runtime.gopanic', 'runtime.fatalpanic']
    return [{'function': name} for name in skip] + out, skip


def line(fault, i, rng):
    arch = rng.choice(['x86_64', 'x86_64', 'aarch64'])
    build = rng.randint(0, 3)
    stack, skipped = frames(fault, build, rng)
    when = BEGIN + datetime.timedelta(seconds=int(50 * 86400 * ((fault.begin + rng.expovariate(5)) % 1)))
    signal = {'number': SIGNALS[fault.signal][0], 'name': fault.signal, 'code_name': SIGNALS[fault.signal][1]}
    if fault.signal in ('SIGSEGV', 'SIGBUS'):
        signal['address'] = hex(rng.choice([0, 0x10, 0x18, 0x7f0000000000 + rng.randrange(1 << 30) * 16]))
    names = [f['function'] for f in stack if f['function'] not in skipped]
    out = {
        'schema': 'gocore-stub/triage/1', 'core': '/var/cores/%s/core.%s.%d' % (arch, fault.program.rsplit('/', 1)[1], i),
        'size': rng.randrange(1, 400) << 20, 'inode': 1000 + i, 'mtime': '%d.000000000' % when.timestamp(),
        'program': fault.program, 'build_id': '%040x' % ((sum(fault.program.encode()) << 140) * (build + 3) * 2654435761 % (1 << 160)), 'arch': arch, 'pid': 300 + i % 32000,
        'signal': signal, 'time': when.strftime('%Y-%m-%dT%H:%M:%SZ'), 'host': 'node-%02d' % rng.randint(1, 12),
        'crashed': {'tid': 300 + i % 32000, 'function': names[0], 'frames': stack, 'depth': len(stack),
                    'registers': {name: hex(rng.choice([0, 1, 0x10, 0xc000000000 + rng.randrange(1 << 20) * 8])) for name in REGISTERS[arch]}},
        'threads': rng.randint(1, 40), 'elapsed_ms': 1.5,
        'signature': {'kind': 'stack', 'exact': '%032x' % (fault.number << 8 | build), 'top': ' < '.join(names[:5]),
                      'site': '%s %s %s+0x%x' % (fault.program.rsplit('/', 1)[1], fault.signal, names[0], 0x20 + build), 'skipped': skipped},
        'problems': [],
    }
    out['crashed']['file'], out['crashed']['line'] = stack[len(skipped)]['file'], stack[len(skipped)]['line']
    if fault.language == 'go':
        add_go(out, fault, rng)
    return out


def add_go(out, fault, rng):
    out['go'] = {'version': rng.choice(['go1.22.9', 'go1.24.4', 'go1.26.1']), 'module': fault.module}
    out['goroutines'] = rng.randint(4, 9000)
    if fault.deadlock:
        out['go']['fatal_error'] = 'all goroutines are asleep - deadlock!'
        out['signature']['kind'] = 'goroutines'
        out['goroutine_groups'] = [
            {'count': out['goroutines'] - 2, 'status': 'waiting', 'wait_reason': 'chan receive', 'goid': 18,
             'stack': ['runtime.gopark', 'runtime.chanrecv'] + [f['function'] for f in out['crashed']['frames'][-3:]]},
            {'count': 1, 'status': 'waiting', 'wait_reason': 'semacquire', 'goid': 1,
             'stack': ['sync.(*WaitGroup).Wait', 'main.main']}]
    elif fault.panic:
        out['go']['panic'] = {'type': 'runtime.boundsError', 'text': 'runtime error: index out of range [%d] with length 4' % rng.randint(4, 9)}


def failed(i):
    return {'schema': 'gocore-stub/triage/1', 'core': '/var/cores/partial/core.%d' % i, 'size': 4096, 'inode': 10 ** 6 + i, 'mtime': '1.000000000',
            'time': '2026-10-20T00:00:%02dZ' % (i % 60), 'error': {'kind': 'unusable', 'text': 'is no ELF file'},
            'problems': [{'where': 'core', 'what': 'is no ELF file'}], 'elapsed_ms': 0.1}


def lines(count, seed=1, faults=400):
    rng = random.Random(seed)
    bugs = [Fault(rng, n) for n in range(faults)]
    picks = rng.choices(bugs, [bug.weight for bug in bugs], k=count)
    for i, bug in enumerate(picks):
        yield failed(i) if i % 997 == 5 else line(bug, i, rng)


if __name__ == '__main__':
    for each in lines(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        print(json.dumps(each, separators=(',', ':')))
