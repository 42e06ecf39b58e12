#!/usr/bin/env python3
"""What is given as core or program: compressed and piped cores are read like plain ones; what is
damaged or wrong costs one sentence and exit status 1, at once."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore


def write(path, content):
    with open(path, 'wb') as f:
        f.write(content)
    return path


def read(path):
    with open(path, 'rb') as f:
        return f.read()


def without_file(document):
    """An info document without what it says of the core's file, which may be compressed or piped."""
    return {key: value for key, value in document.items() if key not in ('core', 'file')}


class Inputs(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.tmp)
        self.case = gocore.Case('aarch64', 'threads')

    def file(self, name, content):
        return write(os.path.join(self.tmp, name), content)


class Refused(Inputs):
    def refused(self, *args, says=None):
        """Exit status 1, one line that names what is wrong, nothing on standard output, at once."""
        for word in ([], ['info'], ['maps']):
            options = [] if word else ['--listen=unix:' + os.path.join(self.tmp, 'sock')]
            with self.subTest(command=word, args=args):
                begin = time.monotonic()
                done = gocore.run_stub(*word, *args, *options, timeout=20)
                self.assertLess(time.monotonic() - begin, 1 * gocore.SLOW)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(done.stdout, '')
                self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
                self.assertTrue(done.stderr.startswith('gocore-stub: '), done.stderr)
                if says:
                    self.assertRegex(done.stderr, says)
                sentence = done.stderr
        print('  ' + sentence.strip())

    def test_not_there(self):
        self.refused(os.path.join(self.tmp, 'none'), says='No such file')

    def test_directory(self):
        self.refused(self.tmp, says='directory')

    def test_empty(self):
        self.refused(self.file('empty', b''), says='empty')

    def test_text(self):
        self.refused(self.file('text', b'Dear debugger,\nthis is not a core.\n'), says='(?i)not .*(ELF|core)')

    def test_device(self):
        self.refused('/dev/null')

    def test_cut_headers(self):
        for name in ('threads-cut-ehdr', 'threads-cut-phdrs'):
            self.refused(gocore.Case('aarch64', name).core, says='(?i)cut|ends|truncated|too short|have')

    def test_compressed_and_cut(self):
        """A stream that ends early; whether half a core would do is not for a debugger to find out."""
        packed = read(os.path.join(self.case.source, 'core.zst'))
        self.refused(self.file('cut.zst', packed[:len(packed) // 2]), says='(?i)ends|cut|early|truncated')
        self.refused(self.file('magic.zst', packed[:4]))

    def test_compressed_rubbish(self):
        packed = bytearray(read(os.path.join(self.case.source, 'core.zst')))
        packed[20:120] = b'\xff' * 100
        self.refused(self.file('damaged.zst', bytes(packed)))

    def test_other_word_size_and_order(self):
        elf = bytearray(read(self.case.core)[:4096])
        elf[4] = 1
        self.refused(self.file('elf32', bytes(elf)), says='32')
        elf[4], elf[5] = 2, 2
        self.refused(self.file('big-endian', bytes(elf)), says='(?i)big')

    def test_other_machine(self):
        elf = bytearray(read(self.case.core)[:4096])
        struct.pack_into('<H', elf, 18, 243)    # EM_RISCV
        self.refused(self.file('riscv', bytes(elf)), says='(?i)machine|architecture|RISC|243')


class RefusedProgram(Inputs):
    """A program that is not the core's."""

    def refused(self, program, says, *options):
        for word in ([], ['info'], ['maps']):
            listen = [] if word else ['--listen=unix:' + os.path.join(self.tmp, 'sock')]
            with self.subTest(command=word, program=program):
                begin = time.monotonic()
                done = gocore.run_stub(*word, self.case.core, program, *listen, *options, timeout=20)
                self.assertLess(time.monotonic() - begin, 1 * gocore.SLOW)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(done.stdout, '')
                self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
                self.assertRegex(done.stderr, says)
                sentence = done.stderr
        print('  ' + sentence.strip())

    def test_not_there(self):
        self.refused(os.path.join(self.tmp, 'none'), 'No such file')

    def test_text(self):
        self.refused(self.file('text', b'#!/bin/sh\nexit 0\n'), '(?i)not ')

    def test_core_as_program(self):
        self.refused(gocore.Case('aarch64', 'abort').core, '(?i)core')

    def test_other_build(self):
        self.refused(gocore.Case('aarch64', 'threads-O2-stripped').bin, '(?i)belong|build')

    def test_other_architecture(self):
        program = gocore.Case('x86_64', 'threads').bin
        self.refused(program, 'x86.64.*aarch64|aarch64.*x86.64')
        self.refused(program, 'x86.64.*aarch64|aarch64.*x86.64', '--force')

    def test_force(self):
        """Another build is used with --force, and every view says so."""
        other = gocore.Case('aarch64', 'threads-O2-stripped').bin
        with gocore.Stub(self.case.core, other, ['--force']) as stub:
            self.assertRegex(stub.stderr, '(?i)force')
        done = gocore.run_stub('info', '--json', '--force', self.case.core, other)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(json.dumps(json.loads(done.stdout).get('problems', [])), '(?i)force|wrong|belong')


class Usage(Inputs):
    def test_usage(self):
        core = self.case.core
        for args in ([], ['--no-such-option', core], [core, core, core], [core, '--listen='],
                     [core, '--listen=:notaport'], [core, '--listen=:70000'], ['info'], ['maps']):
            with self.subTest(args=args):
                done = gocore.run_stub(*args)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, '')

    def test_help_and_version(self):
        for args in (['--help'], ['info', '--help'], ['maps', '--help'], ['--version']):
            done = gocore.run_stub(*args)
            self.assertEqual(done.returncode, 0)
            self.assertEqual(done.stderr, '')
            self.assertIn('gocore-stub', done.stdout)


class CutCores(Inputs):
    """A core cut behind its headers is served as far as it goes, and it says where it was cut."""

    def test_served(self):
        whole = gocore.Case('aarch64', 'threads')
        for name in ('threads-cut-half', 'threads-cut-notes'):
            with self.subTest(name), \
                 gocore.Stub(gocore.Case('aarch64', name).core, whole.bin,
                             ['--sysroot=' + whole.sysroot]) as stub:
                print('  ' + '  '.join(stub.lines))
                self.assertRegex(stub.stderr, r'(?i)\bcut\b.*\d')
                with gocore.Rsp(stub) as client:
                    self.assertTrue(client.ask('?').startswith(b'T'))
                    self.assertIn(b'<thread ', client.transfer('threads'))

    def test_gdb(self):
        """Half of the memory is gone; registers and threads are all there."""
        whole, cut = gocore.Case('aarch64', 'threads'), gocore.Case('aarch64', 'threads-cut-half')
        for gdb in gocore.gdbs():
            if not gocore.knows_arch(gdb, 'aarch64'):
                continue
            with self.subTest(gdb=gdb), \
                 gocore.Stub(cut.core, whole.bin, ['--sysroot=' + whole.sysroot]) as stub:
                start = ['target remote ' + stub.gdb_address]
                self.assertEqual(sorted(gocore.thread_numbers(gdb, start)), sorted(whole.expect.tids))
                _, (pc, sp) = gocore.ask_gdb(gdb, start, ['output/x $pc', 'output/x $sp'])
                registers = whole.expect.dmesg_registers()
                self.assertEqual((int(pc, 16), int(sp, 16)), (registers['pc'], registers['sp']))


class Accepted(Inputs):
    """The same core in every wrapping gives the same answers."""

    def info(self, *args, **kwargs):
        done = gocore.run_stub('info', '--json', *args, **kwargs)
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        return without_file(document)

    def test_compressed(self):
        plain, tried = self.info(self.case.core, self.case.bin), 0
        for tool, *args in (['zstd', '-qc'], ['xz', '-0c'], ['lz4', '-qc'], ['gzip', '-1c'],
                            ['zstd', '-qc', '--no-content-size'], ['xz', '-0c', '--block-size=1000000']):
            if not shutil.which(tool):
                print('  %s is not installed: left out' % tool)
                continue
            tried += 1
            with self.subTest(tool=tool):
                packed = os.path.join(self.tmp, 'packed')   # told by magic, not by name
                with open(packed, 'wb') as f:
                    subprocess.run([tool, *args, self.case.core], stdout=f, check=True)
                self.assertEqual(self.info(packed, self.case.bin), plain)
        self.assertGreaterEqual(tried, 2)

    def test_standard_input(self):
        plain = self.info(self.case.core, self.case.bin)
        for name in (self.case.core, os.path.join(self.case.source, 'core.zst')):
            with self.subTest(name), open(name, 'rb') as f:
                done = subprocess.run([*gocore.STUB, 'info', '--json', '-', self.case.bin], stdin=f,
                                      stdout=subprocess.PIPE, timeout=20 * gocore.SLOW, check=True)
                self.assertEqual(without_file(json.loads(done.stdout)), plain)

    def test_found_by_build_id(self):
        """No program named: it is in a folder under any name."""
        shutil.copy(self.case.bin, os.path.join(self.tmp, 'some-name'))
        with gocore.Stub(self.case.core, None, ['--bin-dir=' + self.tmp]) as stub:
            self.assertRegex(stub.stderr, r'program .*some-name: belongs to this core')

    def test_every_fixture(self):
        """info opens each bundled core; what it says of threads and signal is what expect.txt says."""
        for arch in gocore.ARCHES:
            for name in sorted(os.listdir(os.path.join(gocore.CORES, arch))):
                if '.tar' in name or '-cut-' in name:
                    continue
                case = gocore.Case(arch, name)
                with self.subTest(case=str(case)):
                    done = gocore.run_stub('info', '--json', case.core, case.bin,
                                           '--sysroot=' + case.sysroot, '--bin-dir=' + case.libraries())
                    self.assertEqual(done.returncode, 0, done.stderr)
                    document, expect = json.loads(done.stdout), case.expect
                    self.assertTrue(document['schema'].startswith('gocore-stub/info/1'))
                    self.assertEqual(document['arch'], arch)
                    if expect.tids:     # the script behind expect.txt does not know Delve's notes
                        self.assertEqual([t['tid'] for t in document['threads']], expect.tids)
                        self.assertEqual(document.get('signal', {}).get('number', 0),
                                         int(expect.head['core_signal']))
                    self.assertTrue(document['threads'])


if __name__ == '__main__':
    gocore.main()
