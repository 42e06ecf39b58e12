#!/usr/bin/env python3
"""gocore-stub dlv as a command: what it finds, what it says before Delve starts, and what it hands over.
DLVS, GOCORE_UNPACKED: as in tests/delve/questions.py; most of it needs no Delve."""
import json
import os
import re
import shutil
import stat
import struct
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), os.path.join(HERE, '..', 'go')]
import delve
import gocore
import goroutines as printed

# Says how it was called and what it was given, as a Delve of a version.
FAKE = r'''#!%s
import json, os, sys
if sys.argv[1:] == ['version']:
    print('Delve Debugger\nVersion: %s\nBuild: x')
    sys.exit()
def read(path):
    with open(path, 'rb') as f:
        return f.read().decode('latin1')
init = [a[7:] for a in sys.argv if a.startswith('--init=')]
paths = [a for a in sys.argv[1:] if a.startswith('/')]
print(json.dumps({'stdin': '' if sys.stdin.isatty() else sys.stdin.read(64), 'args': sys.argv[1:], 'init': init and read(init[-1]), 'modes': [os.stat(p).st_mode for p in paths],
                  'first': {p: read(p)[:64] for p in paths}, 'size': {p: os.stat(p).st_size for p in paths},
                  'env': {k: v for k, v in os.environ.items() if k.startswith(('DELVE', 'GOCORE_STUB_'))}}))
'''


class Launcher(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)
        self.case = gocore.Case('x86_64', 'segv-go1.26')
        self.other = gocore.Case('aarch64', 'panic-go1.24')

    def fake(self, version='1.27.1'):
        path = os.path.join(self.tmp.name, 'dlv')
        with open(path, 'w') as f:
            f.write(FAKE % (sys.executable, version))
        os.chmod(path, 0o755)
        return path

    def fake_of(self, machine):
        """An ELF header of another machine in front of nothing: found, but not to be run."""
        path = os.path.join(self.tmp.name, 'dlv')
        with open(path, 'wb') as f:
            f.write(b'\x7fELF\x02\x01\x01' + bytes(9) + struct.pack('<HHI', 2, machine, 1) + bytes(40))
        os.chmod(path, 0o755)
        return path

    def other_tool(self):
        path = os.path.join(self.tmp.name, 'tool')
        with open(path, 'w') as f:
            f.write('#!/bin/sh\necho Tool 1.2\n')
        os.chmod(path, 0o755)
        return path

    def start(self, *args, dlv=None, **kwargs):
        return gocore.run_stub('dlv', *args[:2], '--dlv=' + (dlv or self.fake()), *args[2:], **kwargs)

    def given(self, *args, **kwargs):
        done = self.start(*args, **kwargs)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), done.stderr

    def on_host(self):
        if not delve.is_host(self.case):
            self.skipTest('the core is of another architecture than this host')

    # the two ways

    def test_on_stub(self):
        self.on_host()
        program = os.path.join(self.tmp.name, 'program')
        shutil.copy(self.case.bin, program)
        os.chmod(program, 0o755)
        got, said = self.given(self.case.core, program)
        self.assertEqual(got['args'][:3], ['exec', '--allow-non-terminal-interactive=true', got['args'][2]])
        self.assertEqual(got['args'][3:], ['--backend=lldb', program])
        self.assertEqual(got['init'], 'thread %d\n' % self.case.expect.tids[0])
        self.assertEqual(got['env']['GOCORE_STUB_CORE'], os.path.realpath(self.case.core))
        self.assertEqual(got['env']['GOCORE_STUB_BIN'], program)
        self.assertTrue(os.access(got['env']['DELVE_DEBUGSERVER_PATH'], os.X_OK))
        self.assertNotIn('GOCORE_STUB_CONNECT', got['env'])
        self.assertIn('Delve 1.27.1 on %s: SIGABRT, thread %d' % (self.case.core, self.case.expect.tids[0]), said)

    def test_program_that_may_not_be_executed(self):
        """Delve insists on it, so that it gets a copy."""
        self.on_host()
        program = os.path.join(self.tmp.name, 'program')
        shutil.copy(self.case.bin, program)
        os.chmod(program, 0o644)
        got, _ = self.given(self.case.core, program)
        path = got['args'][-1]
        self.assertTrue(path.startswith('/proc/self/fd/'))
        self.assertTrue(got['modes'][-1] & stat.S_IXUSR)
        self.assertEqual(got['size'][path], os.path.getsize(program))
        self.assertEqual(stat.S_IMODE(os.stat(program).st_mode), 0o644)

    def test_compressed(self):
        self.on_host()
        packed = [os.path.join(self.case.source, name + '.zst') for name in ('core', 'bin')]
        got, _ = self.given(*packed)
        self.assertTrue(got['env']['GOCORE_STUB_CORE'].startswith('/proc/self/fd/'))
        self.assertEqual(got['first'][got['args'][-1]][:4], '\x7fELF')

    def test_on_core(self):
        """One sentence why, and the core itself, for there is nothing in it that Delve stumbles over."""
        if delve.is_host(self.other):
            self.skipTest('the core is of this architecture')
        got, said = self.given(self.other.core, self.other.bin, dlv=self.fake('1.24.0'))
        self.assertEqual(got['args'][0], 'core')
        self.assertEqual(got['args'][-1], os.path.realpath(self.other.core))
        self.assertRegex(said, r'(?m)^this Delve is built for x86-64 .* AArch64 core itself$')
        self.assertNotIn('DELVE_DEBUGSERVER_PATH', got['env'])

    def test_on_core_made_anew(self):
        if delve.is_host(self.other):
            self.skipTest('the core is of this architecture')
        got, _ = self.given(os.path.join(self.other.source, 'core.zst'), self.other.bin, dlv=self.fake('1.24.0'))
        core = got['args'][-1]
        self.assertTrue(core.startswith('/proc/self/fd/'))
        self.assertEqual(got['first'][core][:4] + got['first'][core][16:18], '\x7fELF\x04\x00')
        self.assertEqual(os.listdir(self.tmp.name), ['dlv'])

    def test_core_on_standard_input(self):
        """Delve gets the core, and none of its bytes as commands."""
        for case, version in ((self.case, '1.27.1'), (self.other, '1.24.0')):
            with open(case.core, 'rb') as core:
                got, said = self.given('-', case.bin, '--', '--init=/dev/null', dlv=self.fake(version), stdin=core)
            self.assertIn('on standard input: ', said)
            path = got['env'].get('GOCORE_STUB_CORE', got['args'][-1])
            self.assertTrue(path.startswith('/proc/self/fd/'), path)
            self.assertEqual(got['first'].get(path, '\x7fELF')[:4], '\x7fELF')
            self.assertEqual(got['stdin'], '')

    def test_cut_core(self):
        cut = os.path.join(self.tmp.name, 'cut')
        shutil.copy(self.other.core, cut)
        os.truncate(cut, os.path.getsize(cut) // 2)
        _, said = self.given(cut, self.other.bin, dlv=self.fake('1.24.0'))
        self.assertRegex(said, r'(?m)^problem   file: the file ends at 0x[0-9a-f]+ ')

    def test_nothing_stays(self):
        """What was made for Delve has no name, so that nothing is left in TMPDIR."""
        folder = os.path.join(self.tmp.name, 'tmp')
        os.mkdir(folder)
        for case, version in ((self.case, '1.27.1'), (self.other, '1.24.0')):
            self.given(os.path.join(case.source, 'core.zst'), os.path.join(case.source, 'bin.zst'),
                       dlv=self.fake(version), env=dict(os.environ, TMPDIR=folder))
            self.assertEqual(os.listdir(folder), [])

    # what is handed over

    def test_args(self):
        self.on_host()
        mine = os.path.join(self.tmp.name, 'init file')
        for words in (['--init', mine], ['--init=' + mine]):
            got, _ = self.given(self.case.core, self.case.bin, '--', *words, '--log', '--wd=/')
            self.assertEqual(got['init'], 'thread %d\nsource %s\n' % (self.case.expect.tids[0], mine))
            self.assertEqual(got['args'][-3:-1], ['--log', '--wd=/'])
        got, said = self.given(self.case.core, self.case.bin, '--', '--headless', '--listen=:4040')
        self.assertEqual(got['args'][:-1], ['exec', '--backend=lldb', '--headless', '--listen=:4040'])
        self.assertIn("'thread %d'" % self.case.expect.tids[0], said)

    def test_options_of_ours(self):
        self.on_host()
        got, _ = self.given(self.case.core, self.case.bin, '--sysroot=' + self.tmp.name, '--no-sandbox', '--force',
                            cwd='/')
        self.assertEqual(got['env']['GOCORE_STUB_OPTIONS'],
                         '--sysroot=%s\n--force\n--no-sandbox\n' % os.path.realpath(self.tmp.name))

    def test_dap(self):
        for case, version, mode in ((self.case, '1.27.1', 'exec'), (self.other, '1.24.0', 'core')):
            if delve.is_host(case) != (mode == 'exec'):
                continue
            got, said = self.given(case.core, case.bin, '--', 'dap', '--listen=:0', dlv=self.fake(version))
            self.assertEqual(got['args'], ['dap', '--listen=:0'])
            launch = json.loads(re.search(r'^launch request: (.*)', said, re.M)[1])
            self.assertEqual(launch['mode'], mode)
            self.assertEqual(launch.get('backend'), 'lldb' if mode == 'exec' else None)

    def test_nothing_can_be_run(self):
        """Words by which Delve would start the program are refused."""
        for words in (['--backend=native'], ['--backend', 'default'], ['--', 'x'], ['--headless', '--']):
            done = self.start(self.case.core, self.case.bin, '--', *words)
            self.assertEqual((done.returncode, done.stdout), (2, ''), words)

    # which Delve, which Go

    def test_gate(self):
        """The verdict, and the limits, for each release."""
        self.on_host()
        for version, takes in (('1.20.2', (18, 20)), ('1.21.0', (18, 21)), ('1.21.2', (19, 21)), ('1.22.1', (19, 22)),
                               ('1.23.1', (21, 23)), ('1.24.2', (21, 24)), ('1.25.2', (22, 25)), ('1.26.0', (24, 26)),
                               ('1.27.0', (25, 27))):
            done = self.start(self.case.core, self.case.bin, dlv=self.fake(version))
            if takes[0] <= 26 <= takes[1]:
                self.assertEqual(done.returncode, 0, done.stderr)
                continue
            self.assertEqual((done.returncode, done.stdout), (1, ''))
            self.assertRegex(done.stderr, r'built by go1\.26\.\d+, and Delve %s .* is for Go 1\.%d to 1\.%d: .*'
                             r'\(1\.26 to 1\.27 do\).*--check-go-version=false' % (version, *takes))
            got, _ = self.given(self.case.core, self.case.bin, '--', '--check-go-version=false', dlv=self.fake(version))
            self.assertIn('--check-go-version=false', got['args'])
        for version in ('1.28.0', '1.99.1', '2.0.0', 'nonsense'):
            self.given(self.case.core, self.case.bin, dlv=self.fake(version))

    def test_gate_of_real_ones(self):
        """Delve's own core reader takes and refuses the same."""
        asked = 0
        for dlv in delve.delves():
            for case in printed.cases():
                if not re.match(r'(panic|segv)-go1\.\d+(-delve)?$', case.name):
                    continue
                with self.subTest('%s, %s' % (dlv, case)):
                    out = delve.run(dlv.stub(case), ['quit'])
                    self.assertEqual('is for Go 1.' not in out, dlv.takes(case), out)
                    asked += 1
        self.assertTrue(asked)

    def test_errors(self):
        core, program = self.case.core, self.case.bin
        c = gocore.Case('x86_64', 'threads')
        empty = os.path.join(self.tmp.name, 'empty')
        os.mkdir(empty)
        nothing = dict(os.environ, PATH=empty)
        for args, kwargs, says, status in (
                ([core, program, '--dlv=/nonexistent/dlv'], {}, '/nonexistent/dlv: No such file', 1),
                ([core, program, '--dlv=' + empty], {}, 'no program that can be run', 1),
                ([core, program, '--dlv=' + self.other_tool()], {}, 'is no Delve', 1),
                ([core, program], {'env': nothing}, 'dlv is not in PATH', 1),
                (['/nonexistent', program], {}, '/nonexistent: cannot be opened: No such file', 1),
                ([core, '--dlv=' + self.fake()], {'cwd': '/'}, 'its program /t/segv-go1.26 was not found', 1),
                ([c.core, c.bin, '--sysroot=' + c.sysroot, '--dlv=' + self.fake()], {}, 'is no Go program', 1),
                ([core, c.bin, '--dlv=' + self.fake()], {}, c.bin, 1),
                ([], {}, 'which core?', 2), (['a', 'b', 'c'], {}, 'goes behind --', 2),
                (['--connect=:1'], {}, 'which program?', 2), (['--connect=:1', 'a', 'b'], {}, 'goes behind --', 2),
                (['--connect=nonsense', program, '--dlv=' + self.fake()], {}, 'is no address', 1),
                (['--connect=127.0.0.1:1', program, '--dlv=' + self.fake()], {}, 'cannot connect to 127.0.0.1:1', 1)):
            done = gocore.run_stub('dlv', *args, **kwargs)
            self.assertIn(says, done.stderr)
            self.assertEqual((done.returncode, done.stdout), (status, ''), args)
            if status == 1:
                self.assertEqual(done.stderr.count('\n'), 1, done.stderr)

    def test_architecture_is_its_own(self):
        """Told from Delve's ELF header, not from the host; this one cannot be run, but it is chosen rightly."""
        done = self.start(self.other.core, self.other.bin, dlv=self.fake_of(62))
        self.assertIn('this Delve is built for x86-64', done.stderr)
        done = self.start(self.case.core, self.case.bin, dlv=self.fake_of(183))
        self.assertIn('this Delve is built for AArch64', done.stderr)
        done = self.start(self.other.core, self.other.bin, dlv=self.fake_of(183))
        self.assertNotIn('this Delve is built for', done.stderr)
        self.assertEqual(done.returncode, 1)

    # a stub that serves already

    def test_connect(self):
        self.on_host()
        with self.case.serve() as stub:
            got = json.loads(gocore.run_stub('dlv', '--connect=' + stub.address, self.case.bin,
                                             '--dlv=' + self.fake()).stdout)
            self.assertEqual(got['env']['GOCORE_STUB_CONNECT'], stub.address)
            self.assertEqual(got['init'], 'thread %d\n' % self.case.expect.tids[0])
        with self.other.serve() as stub:
            done = gocore.run_stub('dlv', '--connect=' + stub.address, self.other.bin, '--dlv=' + self.fake('1.24.0'))
            self.assertIn('give it the core', done.stderr)
            self.assertEqual(done.returncode, 1)

    def test_connect_with_real_ones(self):
        asked = 0
        for dlv in delve.delves():
            for case in printed.cases():
                if re.match(r'(panic|segv)-go1\.\d+$', case.name) and delve.is_host(case) and dlv.takes(case):
                    with self.subTest('%s, %s' % (dlv, case)), case_served(case) as stub:
                        args = [*gocore.STUB, 'dlv', '--connect=' + stub.address, case.bin, '--dlv=' + dlv.path]
                        _, (threads,) = delve.ask(args, ['threads'])
                        self.assertEqual(sorted(map(int, re.findall(r'Thread (\d+) at', threads))),
                                         sorted(case.expect.tids))
                        self.assertRegex(threads, r'(?m)^\* Thread %d at' % case.expect.tids[0])
                    asked += 1
                    break
        if not asked:
            self.skipTest('none of these Delves takes one of the cores')


def case_served(case):
    return gocore.Stub(case.core, case.bin)


if __name__ == '__main__':
    gocore.main()
