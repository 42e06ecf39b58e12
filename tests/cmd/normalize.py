#!/usr/bin/env python3
"""normalize on real cores: the file that it writes against the ELF rules, the original's notes and
memory, and the programs' files; and what it refuses."""
import collections
import json
import os
import re
import resource
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

PT_LOAD, PT_NOTE = 1, 4
PN_XNUM = 0xffff
NT_PRSTATUS, NT_PRPSINFO, NT_AUXV, NT_SIGINFO, NT_FILE = 1, 3, 6, 0x53494749, 0x46494c45

Note = collections.namedtuple('Note', 'owner type desc')
Phdr = collections.namedtuple('Phdr', 'type flags offset vaddr paddr filesz memsz align')


class Core:
    """Just enough of an ELF core, read independently of the stub."""

    def __init__(self, path):
        with open(path, 'rb') as f:
            self.bytes = f.read()
        phoff, shoff = struct.unpack_from('<QQ', self.bytes, 32)
        size, count = struct.unpack_from('<HH', self.bytes, 54)
        if count == PN_XNUM:
            count = struct.unpack_from('<I', self.bytes, shoff + 44)[0]
        self.phdrs = [Phdr(*struct.unpack_from('<IIQQQQQQ', self.bytes, phoff + i * size)) for i in range(count)]
        self.loads = [p for p in self.phdrs if p.type == PT_LOAD]

    def notes(self):
        for p in self.phdrs:
            at, end = p.offset, min(p.offset + p.filesz, len(self.bytes))
            while p.type == PT_NOTE and at + 12 <= end:
                owner, desc, kind = struct.unpack_from('<III', self.bytes, at)
                start = at + 12 + (owner + 3 & ~3)
                if start + desc > end:
                    break
                yield Note(self.bytes[at + 12:at + 12 + owner], kind, self.bytes[start:start + desc])
                at = start + (desc + 3 & ~3)

    def read(self, addr, length):
        """None for what is in no PT_LOAD's file part, in pieces."""
        out = []
        while length:
            p = next((p for p in self.loads if p.vaddr <= addr < p.vaddr + p.filesz), None)
            if not p:
                return None
            at = p.offset + addr - p.vaddr
            part = self.bytes[at:at + min(length, p.vaddr + p.filesz - addr)]
            if not part:
                return None
            out.append(part)
            addr += len(part)
            length -= len(part)
        return b''.join(out)

    def files(self):
        """Rows (start, end, offset, path) of NT_FILE."""
        for note in self.notes():
            if note.type == NT_FILE:
                count, unit = struct.unpack_from('<QQ', note.desc)
                paths = note.desc[16 + 24 * count:].split(b'\0')
                for i in range(count):
                    start, end, offset = struct.unpack_from('<QQQ', note.desc, 16 + 24 * i)
                    yield start, end, offset * unit, paths[i].decode()


def cases():
    for arch in gocore.ARCHES:
        for name in sorted(os.listdir(os.path.join(gocore.CORES, arch))):
            if os.path.exists(os.path.join(gocore.CORES, arch, name, 'core.zst')) and \
               not re.search('cut-(ehdr|phdrs)', name):
                yield gocore.Case(arch, name)


def whole_cases():
    return (case for case in cases() if 'cut' not in case.name)


def made_by_kernel(case):
    return not re.search('gcore|delve|qemu|cut', case.name)


def options(case):
    return [] if 'cut' in case.name else [case.bin, '--sysroot=' + case.sysroot, '--bin-dir=' + case.libraries()]


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.TemporaryDirectory(prefix='gcs')

    @classmethod
    def tearDownClass(cls):
        cls.tmp.cleanup()

    def path(self, name):
        return os.path.join(self.tmp.name, name)

    def make(self, case, *more, core=None):
        """The path of the normalised core, made once for every set of options."""
        path = self.path('-'.join([case.arch, case.name, *(re.sub(r'\W', '', m) for m in more)]))
        if not os.path.exists(path):
            self.normalize(core or case.core, *options(case), *more, '-o', path)
        return path

    def normalize(self, *args):
        done = gocore.run_stub('normalize', *args, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotRegex(done.stderr, gocore.SANITIZER_REPORT)
        return done.stderr

    def refused(self, *args, **kwargs):
        done = gocore.run_stub('normalize', *args, timeout=60, **kwargs)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        return done.stderr


class Format(Base):
    def test_headers(self):
        for case in cases():
            for reader in ('any', 'dlv', 'lldb'):
                with self.subTest(case=str(case), reader=reader):
                    core = Core(self.make(case, '--for=' + reader))
                    self.assertEqual([p.type for p in core.phdrs].count(PT_NOTE), 1)
                    self.assertEqual(core.phdrs[0].type, PT_NOTE)
                    end = 0
                    for p in core.loads:
                        self.assertGreaterEqual(p.vaddr, end)
                        self.assertLessEqual(p.filesz, p.memsz)
                        self.assertEqual((p.vaddr - p.offset) % p.align, 0)
                        self.assertLessEqual(p.offset + p.filesz, len(core.bytes))
                        end = p.vaddr + p.memsz

    def test_note_order(self):
        process = [NT_PRPSINFO, NT_SIGINFO, NT_AUXV, NT_FILE]
        for case in cases():
            with self.subTest(case=str(case)):
                notes = list(Core(self.make(case)).notes())
                self.assertEqual([notes[0].type, notes[1].type], [NT_PRSTATUS, NT_PRPSINFO])
                for note in notes:
                    self.assertRegex(note.owner, rb'\A(CORE|LINUX|GDB)\0\Z')
                seen = [n.type for n in notes[1:] if n.owner == b'CORE\0' and n.type in process]
                self.assertEqual(seen[:1], [NT_PRPSINFO])
                self.assertEqual([t for t in process if t in seen], list(dict.fromkeys(seen)))
                tids = [struct.unpack_from('<i', n.desc, 32)[0] for n in notes if n.type == NT_PRSTATUS
                        and n.owner == b'CORE\0']
                if case.expect.tids and 'cut' not in case.name: # not known of Delve's
                    self.assertCountEqual(tids, case.expect.tids)

    def test_kernel_notes_are_as_they_were(self):
        for case in filter(made_by_kernel, cases()):
            with self.subTest(case=str(case)):
                self.assertEqual(list(Core(self.make(case)).notes()), list(Core(case.core).notes()))

    def test_delve_gets_no_file_note(self):
        for case in whole_cases():
            with self.subTest(case=str(case)):
                old = [n for n in Core(self.make(case)).notes() if n.type != NT_FILE]
                self.assertEqual(list(Core(self.make(case, '--for=dlv')).notes()), old)

    def test_readelf(self):
        readelf = shutil.which('readelf') or self.skipTest('no readelf')
        for case in cases():
            with self.subTest(case=str(case)):
                done = subprocess.run([readelf, '-hlnW', self.make(case)], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, errors='replace')
                self.assertEqual(done.returncode, 0)
                self.assertEqual(done.stderr, '')


class Memory(Base):
    def test_dumped(self):
        """What the original holds is in the new one, at the same addresses."""
        for case in cases():
            with self.subTest(case=str(case)):
                old, new = Core(case.core), Core(self.make(case))
                for p in old.loads:
                    have = max(0, min(p.filesz, len(old.bytes) - p.offset))
                    if have:
                        self.assertTrue(new.read(p.vaddr, have) == old.bytes[p.offset:p.offset + have], hex(p.vaddr))

    def test_recovered(self):
        """Pages of the program that were not dumped are those of its file, then zeros to the end of the page."""
        pages = 0
        for case in whole_cases():
            with self.subTest(case=str(case)):
                old, new = Core(case.core), Core(self.make(case))
                with open(case.bin, 'rb') as f:
                    program = f.read()
                for start, end, offset, path in new.files():
                    if not path.startswith('/t/') or '.so' in path:
                        continue
                    for addr in range(start, end, 4096):
                        at = offset + addr - start
                        if old.read(addr, 4096) is None and at < len(program):
                            pages += 1
                            self.assertEqual(new.read(addr, 4096), program[at:at + 4096].ljust(4096, b'\0'))
        self.assertGreater(pages, 100)

    def test_nothing_invented(self):
        """Without the files nothing but the dumped bytes is there, and --for=any lists no anonymous holes."""
        for case in filter(made_by_kernel, cases()):
            with self.subTest(case=str(case)):
                path = self.path('alone')
                self.normalize(case.core, '--sysroot=/nonexistent', '-o', path)
                old, new = Core(case.core), Core(path)
                if 'filter3f' not in case.name: # what a host has at these paths is of another build
                    self.assertLessEqual(sum(p.filesz for p in new.loads), sum(p.filesz for p in old.loads) + (8 << 20))
                rows = [(start, end) for start, end, _, _ in new.files()]
                for p in new.loads:
                    if p.filesz < p.memsz:
                        self.assertTrue(any(a <= p.vaddr + p.filesz < b for a, b in rows), hex(p.vaddr))

    def test_sparse(self):
        case = gocore.Case('x86_64', 'threads')
        new = os.stat(self.make(case))
        self.assertGreater(new.st_size, 32 << 20)
        self.assertLess(new.st_blocks * 512, 6 << 20)


class SameCore(Base):
    def test_again(self):
        """A normalised core is as it should be: doing it again changes no byte."""
        for case in cases():
            for reader in ('any', 'lldb'):
                with self.subTest(case=str(case), reader=reader):
                    once = self.make(case, '--for=' + reader)
                    again = self.path('again')
                    self.normalize(once, *options(case), '--for=' + reader, '-o', again)
                    with open(once, 'rb') as a, open(again, 'rb') as b:
                        self.assertTrue(a.read() == b.read())

    def test_compressed(self):
        case = gocore.Case('aarch64', 'threads')
        packed = os.path.join(case.source, 'core.zst')
        with open(self.make(case), 'rb') as a, open(self.make(case, '-v', core=packed), 'rb') as b:
            self.assertTrue(a.read() == b.read())

    def test_stream(self):
        """Through a pipe come the same bytes, zeros and all."""
        for case in (gocore.Case('x86_64', 'plugin'), gocore.Case('aarch64', 'arm-mte')):
            args = [*gocore.STUB, 'normalize', case.core, *options(case), '-o', '-', *gocore.OPTIONS]
            out = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=60 * gocore.SLOW).stdout
            with open(self.make(case), 'rb') as f:
                self.assertTrue(f.read() == out)

    def test_appended(self):
        """The shell's >> goes on where the file ends."""
        case = gocore.Case('x86_64', 'abort')
        path = self.path('appended')
        with open(path, 'wb') as f:
            f.write(b'before')
        with open(path, 'ab') as f:
            subprocess.run([*gocore.STUB, 'normalize', case.core, *options(case), '-o', '-', *gocore.OPTIONS],
                           stdout=f, stderr=subprocess.DEVNULL, check=True, timeout=60 * gocore.SLOW)
        with open(path, 'rb') as a, open(self.make(case), 'rb') as b:
            self.assertTrue(a.read() == b'before' + b.read())

    def test_snapshot(self):
        for case in whole_cases():
            with self.subTest(case=str(case)):
                old, new = (json.loads(gocore.run_stub('snapshot', '--json', core, *options(case), timeout=60).stdout)
                            for core in (case.core, self.make(case)))
                self.assertEqual([t['tid'] for t in new['threads']], [t['tid'] for t in old['threads']])
                self.assertEqual([t['registers'] for t in new['threads']], [t['registers'] for t in old['threads']])
                known = [f for t in new['threads'] for f in t['frames']]
                frames = [f for t in old['threads'] for f in t['frames']]
                self.assertEqual(len(known), len(frames))
                for a, b in zip(frames, known): # a build ID may be in memory that was recovered
                    self.assertEqual({**b, **a}, b)
                    self.assertLessEqual(b.keys() - a.keys(), {'build_id'})
                self.assertEqual(new.get('signal'), old.get('signal'))


class Output(Base):
    def setUp(self):
        self.case = gocore.Case('x86_64', 'abort')

    def test_mode(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.make(self.case)).st_mode), 0o600)

    def test_replaced(self):
        path = self.path('old')
        with open(path, 'w') as f:
            f.write('old')
        os.symlink('old', self.path('link'))
        self.normalize(self.case.core, '-o', self.path('link'))
        self.assertTrue(os.path.islink(self.path('link')))
        with open(path, 'rb') as f:
            self.assertEqual(f.read(4), b'\x7fELF')

    def test_inputs_are_kept(self):
        for path in (self.case.core, self.case.bin):
            before = os.stat(path)
            self.assertIn(path + ': is an input', self.refused(self.case.core, self.case.bin, '-o', path))
            self.assertEqual(os.stat(path).st_mtime_ns, before.st_mtime_ns)
        link = self.path('to-core')
        os.link(self.case.core, link) if os.stat(self.case.core).st_dev == os.stat(self.tmp.name).st_dev \
            else os.symlink(self.case.core, link)
        self.assertIn('is an input', self.refused(self.case.core, '-o', link))

    def test_refused(self):
        self.assertIn('is a directory', self.refused(self.case.core, '-o', self.tmp.name))
        self.assertIn('is not a regular file', self.refused(self.case.core, '-o', '/dev/null'))
        self.assertIn('No such file or directory', self.refused(self.case.core, '-o', self.path('not/there')))
        self.assertTrue(stat.S_ISCHR(os.stat('/dev/null').st_mode))

    def test_no_room(self):
        """One sentence, and neither half a file nor the loss of the one that was there."""
        folder = self.path('full')
        os.mkdir(folder)
        target = os.path.join(folder, 'core')
        with open(target, 'w') as f:
            f.write('old')
        message = self.refused(self.case.core, '-o', target, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (100000, 100000)))
        self.assertIn(target + ': cannot be written', message)
        self.assertEqual(os.listdir(folder), ['core'])
        with open(target) as f:
            self.assertEqual(f.read(), 'old')

    def test_full_stream(self):
        with open('/dev/full', 'w') as full:
            done = subprocess.run([*gocore.STUB, 'normalize', self.case.core, '-o', '-', *gocore.OPTIONS],
                                  stdout=full, stderr=subprocess.PIPE, text=True, timeout=60 * gocore.SLOW)
        self.assertEqual(done.returncode, 1)
        self.assertIn('No space left on device', done.stderr)

    def test_usage(self):
        for args in ([self.case.core], ['-o', 'x'], [self.case.core, '-o', 'x', '--for=windbg']):
            self.assertEqual(gocore.run_stub('normalize', *args).returncode, 2)

    def test_what_is_missing_is_said(self):
        case = gocore.Case('aarch64', 'threads-cut-half')
        text = self.normalize(case.core, '-o', self.path('cut'))
        self.assertRegex(text, r'file: the file ends at 0x\w+ .*of memory are missing')
        self.assertRegex(text, r'16\.2 MiB were cut off')


if __name__ == '__main__':
    gocore.main()
