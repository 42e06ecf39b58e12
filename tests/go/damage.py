#!/usr/bin/env python3
"""goroutines on cores whose runtime structures were damaged: it ends soon and well, shows what is
sound, and says what is not. Each core is spoilt in one way at addresses that the program's own
symbols name.

GOCORE_UNPACKED names a folder ARCH/CASE/{core,bin,expect.txt} to test as well as the bundled cores.
"""
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import gocore

BUNDLED = (('x86_64', 'segv-go1.26'), ('aarch64', 'panic-go1.24'), ('x86_64', 'segv-go1.19-delve'))
WILD = 0x4141414141414141
SECONDS = 2

# runtime.g by version: (from, atomicstatus, goid, waitreason); runtime/runtime2.go
G_FIELDS = ((25, 144, 152, 176), (23, 152, 160, 184), (0, 144, 152, 176))
G_SCHED, GOBUF_SIZE, G_M = 56, 48, 48


class File:
    """An ELF file's segments and symbols."""

    def __init__(self, path):
        self.path = path
        with open(path, 'rb') as f:
            self.bytes = f.read()
        table, = struct.unpack_from('<Q', self.bytes, 32)
        size, count = struct.unpack_from('<HH', self.bytes, 54)
        self.loads = []
        for at in range(table, table + count * size, size):
            kind, _, offset, start, _, filesz, _ = struct.unpack_from('<IIQQQQQ', self.bytes, at)
            if kind == 1 and filesz:
                self.loads.append((start, filesz, offset))

    def offset(self, addr):
        """Where in the file the byte at an address is; None if it is not there."""
        for start, filesz, offset in self.loads:
            if start <= addr < start + filesz and offset + addr - start < len(self.bytes):
                return offset + addr - start
        return None

    def word(self, addr):
        return struct.unpack_from('<Q', self.bytes, self.offset(addr))[0]

    def debug_info(self):
        """Where the section header of .debug_info lies in the file, and its unpacked content."""
        table, = struct.unpack_from('<Q', self.bytes, 40)
        size, count, names = struct.unpack_from('<HHH', self.bytes, 58)
        names, = struct.unpack_from('<Q', self.bytes, table + names * size + 24)
        for at in range(table, table + count * size, size):
            name, _, flags, _, offset, length = struct.unpack_from('<IIQQQQ', self.bytes, at)
            if self.bytes.startswith(b'.debug_info\0', names + name):
                content = self.bytes[offset:offset + length]
                return at, zlib.decompress(content[24:]) if flags & 0x800 else content
        raise unittest.SkipTest('no .debug_info')

    def symbols(self):
        """{name: (address, size)} of .symtab"""
        table, = struct.unpack_from('<Q', self.bytes, 40)
        size, count = struct.unpack_from('<HH', self.bytes, 58)
        rows = [struct.unpack_from('<IIQQQQII', self.bytes, table + i * size) for i in range(count)]
        out = {}
        for row in rows:
            if row[1] != 2:     # SHT_SYMTAB
                continue
            strings = rows[row[6]][4]
            for at in range(row[4], row[4] + row[5], 24):
                name, _, _, _, value, length = struct.unpack_from('<IBBHQQ', self.bytes, at)
                end = self.bytes.index(b'\0', strings + name)
                out[self.bytes[strings + name:end].decode(errors='replace')] = (value, length)
        return out


class Spoilt:
    """A core and its program, to be changed."""

    def __init__(self, case):
        self.case = case
        self.core, self.program = File(case.core), File(case.bin)
        self.symbols = self.program.symbols()
        self.minor = int(re.search(r'go1\.(\d+)', case.expect.head['toolchain'])[1])
        _, self.status, self.goid, self.reason = next(row for row in G_FIELDS if self.minor >= row[0])
        at = self.symbols['runtime.allgs'][0]
        self.allgs, self.count = self.core.word(at), self.core.word(at + 8)
        self.gs = [self.core.word(self.allgs + 8 * i) for i in range(self.count)]
        self.pokes = {}
        self.program_pokes = {}
        self.program_end = b''       # what is appended to it

    def addr(self, name):
        return self.symbols[name][0]

    def poke(self, addr, data):
        if isinstance(data, int):
            data = struct.pack('<Q', data & (1 << 64) - 1)
        at = self.core.offset(addr)
        if at is None:
            raise unittest.SkipTest('0x%x is not in the core' % addr)
        self.pokes[at] = data

    def poke_both(self, addr, data):
        """In the program too, if that is where the core has it from."""
        if isinstance(data, int):
            data = struct.pack('<Q', data & (1 << 64) - 1)
        at = self.core.offset(addr)
        if at is not None:
            self.pokes[at] = data
        self.program_pokes[self.program.offset(addr)] = data

    def write(self, folder):
        out = []
        for name, file, pokes in (('core', self.core, self.pokes), ('bin', self.program, self.program_pokes)):
            path = os.path.join(folder, name)
            subprocess.run(['cp', '--sparse=always', file.path, path], check=True)
            os.chmod(path, 0o644)
            with open(path, 'r+b') as f:
                for at, data in pokes.items():
                    f.seek(at)
                    f.write(data)
                if name == 'bin' and self.program_end:
                    f.seek(0, os.SEEK_END)
                    f.write(self.program_end)
            out.append(path)
        return out


def cases():
    base = os.environ.get('GOCORE_UNPACKED')
    for arch, name in BUNDLED:
        yield gocore.Case(arch, name)
    for arch in gocore.ARCHES if base else ():
        for name in sorted(os.listdir(os.path.join(base, arch))):
            if re.fullmatch(r'(panic|segv)-go1\.\d+', name) and (arch, name) not in BUNDLED:
                yield gocore.Unpacked(base, arch, name)


# What is done to a core. What each leaves sound is in the tests below.

def wild_list(s):
    """7 of 8 pointers of runtime.allgs lead nowhere."""
    for i in range(s.count):
        if i % 8:
            s.poke(s.allgs + 8 * i, WILD + 16 * i)


def circular_list(s):
    for i in range(s.count):
        s.poke(s.allgs + 8 * i, s.gs[0])


def wild_slice(s):
    s.poke(s.addr('runtime.allgs'), WILD)


def absurd_length(s):
    s.poke(s.addr('runtime.allgs') + 8, struct.pack('<QQ', 1 << 60, 1 << 60))


def wild_m0(s):
    addr, size = s.symbols['runtime.m0']
    s.poke(addr, b'A' * size)


def wild_ms(s):
    for g in s.gs:
        s.poke(g + G_M, WILD)


def wild_moduledata(s):
    addr, size = s.symbols['runtime.firstmoduledata']
    s.poke(addr, b'A' * size)


def wild_bounds(s):
    """moduledata from noptrdata on: where data and types are."""
    addr, size = s.symbols['runtime.firstmoduledata']
    s.poke(addr + 192, b'A' * (size - 192))


def wild_moduledata_in_file(s):
    """So that only the symbols and the table itself are left."""
    addr, size = s.symbols['runtime.firstmoduledata']
    s.poke_both(addr, b'A' * size)


def wild_table_header(s):
    s.poke_both(s.addr('runtime.pclntab'), b'A' * 72)


def absurd_functions(s):
    s.poke_both(s.addr('runtime.pclntab') + 8, 1 << 27)


def wild_panics(s):
    """A circle."""
    for g in s.gs:
        s.poke(g + 32, g)


def wild_stack_bounds(s):
    for g in s.gs:
        s.poke(g, struct.pack('<QQ', WILD, 0))


def newer_version(s):
    """go1.99: nothing else of the program is changed."""
    version = s.case.expect.head['toolchain'].encode()
    for file, pokes in ((s.program, s.program_pokes), (s.core, s.pokes)):
        at = file.bytes.find(b'\xff Go buildinf:')
        at = file.bytes.find(version, at, at + 64) if at >= 0 else -1
        if at >= 0:
            pokes[at] = re.sub(rb'go1\.\d\d', b'go1.99', version)


def uleb(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def moved_fields(s):
    """A newer version in which fields of runtime.g changed places, as its debug information says."""
    newer_version(s)
    row, info = s.program.debug_info()
    gopc, startpc = (280, 296) if s.minor in (21, 22, 25) else (296, 312) if s.minor < 21 else (288, 304)
    for one, its, other, whose in (('goid', s.goid, 'waitsince', s.goid + 16), ('gopc', gopc, 'startpc', startpc)):
        for name, old, new in ((one, its, whose), (other, whose, its)):
            old, new = (name.encode() + b'\0' + uleb(value) for value in (old, new))
            at = info.index(old, info.index(b'stackguard1\0'))
            info = info[:at] + new + info[at + len(old):]
        for g in s.gs:
            values = s.core.word(g + its), s.core.word(g + whose)
            s.poke(g + whose, values[0])
            s.poke(g + its, values[1])
    # the section is written anew, uncompressed, behind the rest
    s.program_pokes[row + 8] = struct.pack('<Q', 0)
    s.program_pokes[row + 24] = struct.pack('<QQ', len(s.program.bytes), len(info))
    s.program_end = info


def wild_registers(s):
    for g in s.gs:
        s.poke(g + G_SCHED, b'\xff' * GOBUF_SIZE)


def wild_statuses(s):
    for g in s.gs[::2]:
        s.poke(g + s.status, struct.pack('<I', 77))


def wild_reasons(s):
    for g in s.gs:
        s.poke(g + s.reason, b'\xfe')


def wild_goids(s):
    for g in s.gs[::2]:
        s.poke(g + s.goid, WILD)


def equal_goids(s):
    for g in s.gs:
        s.poke(g + s.goid, 1)


def no_goroutines(s):
    for g in s.gs:
        s.poke(g, b'\xff' * 376)


def random_table(s):
    start, end = s.addr('runtime.pclntab'), s.addr('runtime.epclntab')
    chance = random.Random(1)
    for _ in range(3000):
        s.poke_both(chance.randrange(start + 72, end - 8), chance.getrandbits(64))


def overwritten_table(s):
    start, end = s.addr('runtime.pclntab'), s.addr('runtime.epclntab')
    s.poke_both(start + 72, b'\xff' * (end - start - 80))


def circular_stacks(s):
    """Every word of the frames is the pc that it is reached from."""
    for g in s.gs:
        sp, pc = s.core.word(g + G_SCHED), s.core.word(g + G_SCHED + 8)
        high = s.core.word(g + 8)
        if s.core.offset(sp) is not None:
            for at in range(sp, min(high, sp + 4096), 8):
                s.poke(at, pc)


def labels_of_labels(s):
    for g in s.gs:
        s.poke(g + (344 if s.minor < 23 else 352), g)


def wild_types(s):
    start = s.addr('runtime.types')
    for at in range(start, start + (1 << 16), 8):
        s.poke_both(at, WILD)


class Damage(unittest.TestCase):
    def read(self, spoilt):
        with tempfile.TemporaryDirectory() as folder:
            core, program = spoilt.write(folder)
            start = time.monotonic()
            done = gocore.run_stub('goroutines', '--json', '--force', core, program, timeout=30)
            took = time.monotonic() - start
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotRegex(done.stderr, gocore.SANITIZER_REPORT)
        self.assertLess(took, SECONDS * gocore.SLOW)
        return json.loads(done.stdout)

    @staticmethod
    def content(g, *left_out):
        frames = tuple((f['pc'], f.get('function'), f.get('file'), f.get('line')) for f in g['frames'])
        out = dict(g, frames=frames)
        for key in ('labels',) + left_out:
            out.pop(key, None)
        return out

    def each(self, kinds, check):
        """check(kind, damaged document, its goroutines and those of the sound core by goid) for each case and kind."""
        for case in cases():
            sound = self.read(Spoilt(case))
            for kind in kinds:
                with self.subTest('%s: %s' % (case, kind.__name__)):
                    spoilt = Spoilt(case)
                    kind(spoilt)
                    document = self.read(spoilt)
                    check(kind, document, {g['goid']: g for g in document['goroutines']},
                          {g['goid']: g for g in sound['goroutines']})

    def test_nothing_lost(self):
        """The same is said elsewhere, or found by what it looks like."""
        quiet = (wild_ms, wild_panics)
        # the M itself is lost: nothing says which thread it is
        left_out = ('tid', 'locked_tid', 'm', 'wait_minutes', 'crashed')

        def check(kind, document, got, want):
            self.assertEqual(set(got), set(want))
            for goid, g in got.items():
                self.assertEqual(self.content(g, *left_out), self.content(want[goid], *left_out))
            if kind not in quiet:
                self.assertTrue(document['problems'])
        self.each((wild_list, circular_list, wild_slice, absurd_length, wild_m0, wild_ms, wild_moduledata, wild_bounds,
                   wild_moduledata_in_file, wild_table_header, absurd_functions, wild_panics, wild_stack_bounds), check)

    def test_newer(self):
        """The program's debug information says where a runtime that is not known has its fields."""
        def check(_kind, document, got, want):
            self.assertEqual(set(got), set(want))
            for goid, g in got.items():
                self.assertEqual(self.content(g), self.content(want[goid]))
            self.assertIn('debug information', document['problems'][0]['what'])
        self.each((newer_version, moved_fields), check)

    def test_registers_lost(self):
        """A goroutine without its saved registers is there with the rest of it."""
        def check(_kind, document, got, want):
            self.assertEqual(set(got), set(want))
            for goid, g in got.items():
                self.assertEqual((g['status'], g.get('wait_reason'), g.get('created_by')),
                                 (want[goid]['status'], want[goid].get('wait_reason'), want[goid].get('created_by')))
                if 'tid' in g or g['status'] == 'syscall':
                    self.assertEqual(self.content(g), self.content(want[goid]))
                else:
                    self.assertIn('goroutine %d' % goid, [p['where'] for p in document['problems']])
        self.each((wild_registers,), check)

    def test_states_lost(self):
        def check(_kind, document, got, want):
            self.assertEqual(set(got), set(want))
            for goid, g in got.items():
                if g['status'] != 'unknown':
                    self.assertEqual(g['frames'], want[goid]['frames'])
            self.assertTrue(document['problems'])
        self.each((wild_statuses, wild_reasons), check)

    def test_numbers_lost(self):
        def check(_kind, document, got, want):
            self.assertTrue(set(got) < set(want))
            for goid, g in got.items():
                self.assertEqual(self.content(g), self.content(want[goid]))
            self.assertTrue(document['problems'])
        self.each((wild_goids,), check)

    def test_numbers_equal(self):
        """Each is shown by its own stack."""
        def check(_kind, document, got, want):
            self.assertEqual(set(got), {1})
            self.assertEqual(len(document['goroutines']), len(want))
            self.assertEqual(sorted(map(str, (self.content(g)['frames'] for g in document['goroutines']))),
                             sorted(map(str, (self.content(g)['frames'] for g in want.values()))))
            self.assertEqual([p['what'] for p in document['problems']],
                             ['%d of %d have a number that another one has, too' % (len(want) - 1, len(want))])
        self.each((equal_goids,), check)

    def test_goroutines_lost(self):
        def check(_kind, document, got, _want):
            self.assertEqual(got, {})
            self.assertTrue(document['problems'])
        self.each((no_goroutines,), check)

    def test_names_lost(self):
        """Goroutines are there; stacks are cut short where the tables lie, or are not what they were."""
        def check(_kind, document, got, want):
            self.assertEqual({goid: g['status'] for goid, g in got.items()},
                             {goid: g['status'] for goid, g in want.items()})
        self.each((random_table, overwritten_table), check)

    def test_ends(self):
        def check(_kind, _document, got, _want):
            self.assertTrue(got)
        self.each((circular_stacks, labels_of_labels, wild_types), check)

    @staticmethod
    def threads(core, program, *options):
        """What a client lists, and what the stub said."""
        with gocore.Stub(core, program, options=['--force', *options]) as stub:
            with gocore.Rsp(stub) as rsp:
                reply, out = rsp.ask('qfThreadInfo'), []
                while reply != b'l':
                    out += reply[1:].split(b',')
                    reply = rsp.ask('qsThreadInfo')
        return out, stub.stderr

    def test_served(self):
        """Without goroutines the OS threads are served, and one line says why."""
        for case in cases():
            with self.subTest(str(case)), tempfile.TemporaryDirectory() as folder:
                want, _ = self.threads(case.core, case.bin, '--threads=os')
                spoilt = Spoilt(case)
                no_goroutines(spoilt)
                got, said = self.threads(*spoilt.write(folder))
                self.assertEqual(got, want)
                self.assertEqual(said.count('goroutines cannot be shown: '), 1, said)


if __name__ == '__main__':
    gocore.main()
