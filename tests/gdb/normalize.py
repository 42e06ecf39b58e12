#!/usr/bin/env python3
"""Normalised cores in real debuggers: threads, registers and stacks are those that the same
debugger shows of the original, wherever it can read that one.

GOCORE_UNPACKED names a folder ARCH/CASE/{core,bin,expect.txt} to test as well as the bundled cores.
GDBS, LLDBS, DLVS: the debuggers to test with, separated by spaces or colons (default: what PATH has).
"""
import collections
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

# What a debugger shows of one core: tids in its order, text by tid.
Shown = collections.namedtuple('Shown', 'tids registers frames')


class Unpacked:
    """A folder ARCH/CASE that is unpacked already, with its sysroot beside it."""

    def __init__(self, base, arch, name):
        self.arch, self.name = arch, name
        self.dir = os.path.join(base, arch, name)
        self.core = os.path.join(self.dir, 'core')
        self.bin = program_of(lambda n: os.path.join(base, arch, n, 'bin'), name)
        self.sysroot = os.path.join(base, arch, 'sysroot')
        with open(os.path.join(self.dir, 'expect.txt'), errors='replace') as f:
            self.expect = gocore.Expect(f.read())

    def __str__(self):
        return '%s/%s' % (self.arch, self.name)

    def libraries(self):
        return self.dir


def program_of(path, name):
    """A core that was cut has no program of its own."""
    return path(re.sub('-cut-.*', '', name))


def cases():
    """Every core that holds a thread, each once."""
    seen, base = set(), os.environ.get('GOCORE_UNPACKED')
    for arch in gocore.ARCHES:
        if base and os.path.isdir(os.path.join(base, arch)):
            for name in sorted(os.listdir(os.path.join(base, arch))):
                if os.path.exists(os.path.join(base, arch, name, 'core')) and not is_hopeless(name):
                    seen.add((arch, name))
                    yield Unpacked(base, arch, name)
        for name in sorted(os.listdir(os.path.join(gocore.CORES, arch))):
            if (os.path.exists(os.path.join(gocore.CORES, arch, name, 'core.zst')) and
                    (arch, name) not in seen and not is_hopeless(name)):
                yield gocore.Case(arch, name)


def is_hopeless(name):
    return re.search('cut-(ehdr|phdrs)', name)


def program(case):
    if isinstance(case, Unpacked):
        return case.bin
    return program_of(lambda name: gocore.Case(case.arch, name).bin, case.name)


def libraries(case):
    return program_of(lambda name: gocore.Case(case.arch, name).libraries(), case.name) \
        if isinstance(case, gocore.Case) else case.libraries()


def named(variable, default):
    names = [n for n in re.split(r'[:\s]+', os.environ.get(variable, '')) if n]
    return [p for p in (shutil.which(n) for n in names or default) if p]


def run(args, timeout=120):
    env = dict(os.environ, LC_ALL='C.UTF-8')
    env.pop('DEBUGINFOD_URLS', None)
    return subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors='replace', timeout=timeout * gocore.SLOW, env=env).stdout


# What each debugger shows

def in_gdb(gdb, case, core):
    start = ['set sysroot ' + case.sysroot, 'set solib-search-path ' + libraries(case),
             'file ' + program(case), 'core-file ' + core]
    _, answers = gocore.ask_gdb(gdb, start, ['info threads', 'thread apply all info all-registers',
                                             'thread apply all backtrace 100'])
    threads, registers, frames = (answer or '' for answer in answers)
    return Shown([int(t) for t in re.findall(r'^[* ] +\d+ +.*?LWP (\d+)', threads, flags=re.M)],
                 gdb_threads(registers), gdb_threads(frames))


def gdb_threads(text):
    return {int(m[1]): m[2].strip() for m in re.finditer(
        r'^Thread \d+ \([^\n]*?LWP (\d+)\)[^\n]*:\n(.*?)(?=^Thread \d+ \(|\Z)', text, flags=re.M | re.S)}


def in_lldb(lldb, case, core):
    folders = [os.path.join(case.sysroot, f) for f in
               ('lib/%s-linux-gnu' % case.arch, 'lib64', 'lib')] + [libraries(case)]
    start = [lldb, '-x', '-b', '--no-use-colors', '-o',
             'settings set target.exec-search-paths ' + ' '.join('"%s"' % f for f in folders if os.path.isdir(f)),
             '-o', 'target create "%s" --core "%s"' % (program(case), core)]
    text = run(start + ['-o', 'thread list', '-o', 'bt all'])
    tids = {int(n): int(tid) for n, tid in re.findall(r'thread #(\d+): tid = (\d+)', text)}
    frames = {tids[int(m[1])]: re.sub(r'^[ *]+', '', m[2], flags=re.M).strip() for m in re.finditer(
        r'^[* ] thread #(\d+).*\n((?:  [ *] frame #.*\n)+)', text.partition('(lldb) bt all')[2], flags=re.M)}
    return Shown(list(tids.values()), lldb_registers(start, tids),
                 {tid: without_arguments(text) for tid, text in frames.items()})


def without_arguments(frames):
    """lldb shows strings that the original does not hold as empty, and pointers by symbols that it found."""
    return re.sub(r'(`[^(\n]*)\(.*?\)(?= at |$)', r'\1', frames, flags=re.M)


def lldb_registers(start, tids):
    commands = []
    for n in tids:
        commands += ['-o', 'thread select %d' % n, '-o', 'register read --all']
    parts = run(start + commands).split('(lldb) register read --all\n')[1:]
    # lldb prints the news of its threads whenever it likes
    return {tid: '\n'.join(line for line in part.splitlines() if re.match(r' +\S+ = ', line))
            for tid, part in zip(tids.values(), parts)}


def in_eu_stack(eu_stack, case, core):
    text = run([eu_stack, '--core=' + core, '-e', program(case)])
    frames = {int(m[1]): m[2].strip() for m in re.finditer(
        r'^TID (\d+):\n((?:#.*\n|eu-stack.*\n)*)', text, flags=re.M)}
    return Shown(list(frames), {}, frames)


def in_dlv(dlv, case, core):
    """One text: stacks of goroutines rather than of threads, and the registers."""
    with tempfile.NamedTemporaryFile('w', suffix='.init') as commands:
        commands.write('threads\ngoroutines -t\nregs\nbt\ngoroutine 1 bt\nexit\n')
        commands.flush()
        text = run([dlv, 'core', program(case), core, '--check-go-version=false',
                    '--allow-non-terminal-interactive=true', '--init', commands.name])
    text = text.replace(core, 'CORE')
    return Shown([int(t) for t in re.findall(r'Thread (\d+) at', text)], {}, {0: text})


# Comparing

def registers(text):
    """{name: value}; names behind values depend on the symbols that were found, so they do not count."""
    out = {}
    for line in text.splitlines():
        m = re.match(r' *(\S+) (?: *= )?(.*)', line)
        if m and 'unavailable' not in m[2]:
            out[m[1]] = re.sub(r' *<[^<>]*>', '', m[2]).strip() if ' = ' not in line[:20] else m[2].split('  ')[0]
    return out


def differing_registers(old, new):
    """What the original shows and the normalised core shows otherwise. It may well have more."""
    old, new = registers(old), registers(new)
    return {name: (old[name], new.get(name)) for name in old if new.get(name) != old[name]}


def is_lost(frames):
    """Frames without a name, an error, or none at all: the original does not hold what it takes."""
    return not frames or re.search(r'\?\?|Cannot access|Backtrace stopped|eu-stack: |'
                                   r'frame #\d+: 0x[0-9a-f]+$|^#\d+ +0x[0-9a-f]+$', frames, flags=re.M)


def count_named(frames):
    return len(re.findall(r'^(?:#\d+ +(?:0x\w+ +in +)?(?!\?|0x)[A-Za-z_]|#\d+ +0x[0-9a-f]+ +(?!in )[A-Za-z_]|'
                          r'frame #\d+: 0x[0-9a-f]+ \S+`)', frames, flags=re.M))


# A dump of Delve (pkg/elfwriter, pkg/proc/dump.go), out of a core of the kernel

def note(owner, kind, desc):
    def padded(data):
        return data + bytes(-len(data) % 4)
    return struct.pack('<III', len(owner), len(desc), kind) + padded(owner) + padded(desc)


def delve_thread(prstatus, fpregs):
    regs = [prstatus[112 + 8 * i:120 + 8 * i] for i in range(34)]
    named_regs = [('X%d' % i, regs[i]) for i in range(31)] + [('SP', regs[31]), ('PC', regs[32]), ('PSTATE', regs[33])]
    named_regs += [('V%d' % i, fpregs[16 * i:16 * i + 16]) for i in range(32)]
    named_regs += [('FPSR', fpregs[512:516].ljust(8, b'\0')), ('FPCR', fpregs[516:520].ljust(8, b'\0'))]
    tid, = struct.unpack_from('<i', prstatus, 32)
    return struct.pack('<Q', tid) + regs[32] + regs[31] + regs[29] + bytes(8) + b'\1' + regs[28] + \
        struct.pack('<I', len(named_regs)) + b''.join(
            struct.pack('<H', len(n)) + n.encode() + struct.pack('<H', len(v)) + v for n, v in named_regs)


def write_delve_dump(core, path):
    with open(core, 'rb') as f:
        data = f.read()
    phoff, = struct.unpack_from('<Q', data, 32)
    phdrs = [list(struct.unpack_from('<IIQQQQQQ', data, phoff + 56 * i))
             for i in range(struct.unpack_from('<H', data, 56)[0])]
    at, end = next((p[2], p[2] + p[5]) for p in phdrs if p[0] == 4)
    notes, prstatus = note(b'Delve Header', 0x444c5645, b'linux/arm64\nVersion: x\nTarget Pid: 1\n'), None
    while at < end:
        owner, desc, kind = struct.unpack_from('<III', data, at)
        start = at + 12 + (owner + 3 & ~3)
        if kind == 1:
            prstatus = data[start:start + desc]
        elif kind == 2 and owner == 5 and prstatus:
            notes += note(b'', 0x444c5654, delve_thread(prstatus, data[start:start + desc]))
        at = start + (desc + 3 & ~3)
    with open(path, 'wb') as f:
        f.write(data[:64])
        headers = b''
        for p in phdrs:
            if p[0] == 1 and p[5]:
                headers += struct.pack('<IIQQQQQQ', 1, p[1], f.tell(), p[3], 0, p[5], p[5], 0)
                f.write(data[p[2]:p[2] + p[5]])
        headers += struct.pack('<IIQQQQQQ', 4, 0, f.tell(), 0, 0, len(notes), 0, 4)
        f.write(notes)
        end = f.tell()
        f.write(headers)
        f.seek(32)
        f.write(struct.pack('<Q', end))
        f.seek(56)
        f.write(struct.pack('<H', len(headers) // 56))


class Normalized(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.TemporaryDirectory(prefix='gcs')
        cls.cases = list(cases())
        for case in cls.cases:
            for reader in ('any', 'dlv'):
                cls.make(case, reader)

    @classmethod
    def tearDownClass(cls):
        cls.tmp.cleanup()

    @classmethod
    def path(cls, case, reader):
        return os.path.join(cls.tmp.name, '%s-%s-%s' % (case.arch, case.name, reader))

    @classmethod
    def make(cls, case, reader):
        done = gocore.run_stub('normalize', case.core, program(case), '--sysroot=' + case.sysroot,
                               '--bin-dir=' + libraries(case), '--for=' + reader,
                               '-o', cls.path(case, reader), timeout=60)
        if done.returncode:
            raise AssertionError('%s: %s' % (case, done.stderr))

    def compare(self, case, client, old, new):
        expect = case.expect.tids
        if 'cut-notes' not in case.name and case.expect.tids:
            self.assertCountEqual(new.tids, expect)
        if not old.tids: # a dump of Delve, gdb of a core cut off in its notes, lldb of qemu's without NT_FILE
            self.assertRegex(case.name, 'delve|cut-notes|qemu')
            return
        self.assertEqual(new.tids, old.tids)
        for tid in old.registers:
            if 'cut-notes' in case.name: # lldb shows zeros for what was cut off
                break
            self.assertEqual(differing_registers(old.registers[tid], new.registers[tid]), {}, 'thread %d' % tid)
        for tid in new.tids if new.frames.keys() != {0} else [0]:
            a, b = old.frames.get(tid, ''), new.frames.get(tid, '')
            if a == b:
                continue
            self.assertTrue(is_lost(a), '%s\nthread %d\n%s\n---- normalised:\n%s' % (client, tid, a, b))
            self.assertGreaterEqual(count_named(b), count_named(a), '%s\n---- normalised:\n%s' % (a, b))

    def each(self, client, show, wanted=lambda case: True, reader='any'):
        for case in self.cases:
            if wanted(case):
                with self.subTest(case=str(case), client=client):
                    self.compare(case, client, show(client, case, case.core),
                                 show(client, case, self.path(case, reader)))

    def test_gdb(self):
        for gdb in gocore.gdbs():
            self.each(gdb, in_gdb, lambda case: gocore.knows_arch(gdb, case.arch))

    def test_lldb(self):
        found = named('LLDBS', ['lldb'])
        if not found:
            self.skipTest('no lldb')
        for lldb in found:
            self.each(lldb, in_lldb)

    def test_eu_stack(self):
        found = shutil.which('eu-stack')
        if not found:
            self.skipTest('no eu-stack')
        self.each(found, in_eu_stack)

    def test_dlv(self):
        found = named('DLVS', ['dlv'])
        if not found:
            self.skipTest('no dlv')
        for dlv in found:
            self.each(dlv, in_dlv, lambda case: '-go1.' in case.name and self.accepts(dlv, case), 'dlv')

    def accepts(self, dlv, case):
        """Delve reads programs of three or four Go versions only."""
        text = run([dlv, 'core', program(case), case.core, '--allow-non-terminal-interactive=true',
                    '--init', '/dev/null'])
        return not re.search('too old|is not supported by this version', text)

    def test_delve_threads(self):
        """Of a dump as Delve writes it on arm64, made here of the kernel's core, gdb shows the same as of that."""
        gdb = gocore.gdbs()[0]
        if not gocore.knows_arch(gdb, 'aarch64'):
            self.skipTest('gdb does not know aarch64')
        case = gocore.Case('aarch64', 'panic-go1.24')
        dump, path = (os.path.join(self.tmp.name, name) for name in ('dump', 'of-dump'))
        write_delve_dump(case.core, dump)
        self.assertEqual(in_gdb(gdb, case, dump).tids, [])
        done = gocore.run_stub('normalize', dump, case.bin, '-o', path)
        self.assertEqual(done.returncode, 0, done.stderr)
        old, new = in_gdb(gdb, case, case.core), in_gdb(gdb, case, path)
        self.assertEqual(new.tids, old.tids)
        self.assertEqual(new.frames, old.frames)
        for tid in old.tids:
            a, b = registers(old.registers[tid]), registers(new.registers[tid])
            for name in [*('x%d' % i for i in range(31)), 'sp', 'pc', 'cpsr', 'v0', 'v31', 'fpsr', 'fpcr']:
                self.assertEqual(b[name], a[name], name)

    def test_qemu_and_filtered_cores_are_unwound(self):
        """gdb does not know where the program of these cores was loaded; of the normalised ones it does."""
        gdb = gocore.gdbs()[0]
        for case in self.cases:
            if not re.match('(threads|plugin)-(qemu-user|filter21)', case.name) or \
               not gocore.knows_arch(gdb, case.arch):
                continue
            with self.subTest(case=str(case)):
                shown = in_gdb(gdb, case, self.path(case, 'any'))
                first = shown.frames[shown.tids[0]]
                self.assertRegex(first, r'(?m)^#\d+ .*\bmain \(' if 'plugin' in case.name else r'crasher \(')


if __name__ == '__main__':
    gocore.main()
