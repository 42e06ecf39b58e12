#!/usr/bin/env python3
"""gdb's machine interface, as VS Code's cppdbg, CLion and Eclipse drive it: mi-async, their commands to connect,
show and run; each answer compared with what the program printed, each running refused and told at once."""
import os
import re
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import editor
import gocore


class Mi:
    """A gdb that takes commands with a token each; records that are nobody's answer are kept."""

    def __init__(self, gdb):
        environ = dict(os.environ, LC_ALL='C.UTF-8')
        environ.pop('DEBUGINFOD_URLS', None)
        self.proc = subprocess.Popen([gdb, '-nx', '-q', '--interpreter=mi'], stdin=subprocess.PIPE, text=True,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ)
        # what ends gdb ends a read that waits
        self.limit = threading.Timer(120 * gocore.SLOW, self.proc.kill)
        self.limit.start()
        self.token, self.records = 1000, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.limit.cancel()
        self.proc.kill()
        self.proc.communicate()

    def until(self, start):
        """The next record that begins so."""
        while True:
            line = self.proc.stdout.readline()
            if not line:
                raise AssertionError('gdb ended before "%s":\n%s' % (start, '\n'.join(self.records)))
            self.records.append(line.rstrip('\n'))
            if line.startswith(start):
                return line.rstrip('\n')

    def ask(self, command):
        """@return the result record without its token"""
        self.token += 1
        self.proc.stdin.write('%d%s\n' % (self.token, command))
        self.proc.stdin.flush()
        return self.until(str(self.token))[len(str(self.token)):]


class Session(unittest.TestCase, editor.Session):
    def each(self, check):
        for gdb in gocore.gdbs():
            for arch in gocore.ARCHES:
                if gocore.knows_arch(gdb, arch):
                    with self.subTest(gdb=gdb, arch=arch):
                        case = gocore.Case(arch, 'threads')
                        self.facts(case)
                        # as an editor's settings name it
                        with case.serve(listen='127.0.0.1:0') as stub, Mi(gdb) as mi:
                            self.connect(mi, case, stub)
                            check(mi, case)
                            self.assertIn('^done', mi.ask('-target-detach'))
                            self.assertEqual(mi.ask('-gdb-exit'), '^exit')
                            self.assertTrue(stub.alive())

    def connect(self, mi, case, stub):
        for command in ('-gdb-set mi-async on', '-enable-pretty-printing', '-file-exec-and-symbols ' + case.bin):
            self.assertEqual(mi.ask(command), '^done')
        self.assertEqual(mi.ask('-target-select remote ' + stub.gdb_address), '^connected')
        stopped = next(r for r in mi.records if r.startswith('*stopped'))
        self.assertIn('func="%s"' % self.functions[0], stopped)
        self.assertNotIn('reason=', stopped)
        self.crashed = re.search(r'thread-id="(\d+)"', stopped)[1]

    def test_questions(self):
        def check(mi, case):
            threads = mi.ask('-thread-info')
            self.assertEqual(sorted(map(int, re.findall(r'target-id="Thread \d+\.(\d+)"', threads))),
                             sorted(case.expect.tids))
            self.assertRegex(threads, r'id="%s",target-id="[^"]*",details="crashed: SIGSEGV"' % self.crashed)
            stack = mi.ask('-stack-list-frames --thread %s 0 19' % self.crashed)
            self.assertEqual(re.findall(r'func="(\w+)"', stack)[:len(self.functions)], self.functions)
            frame = self.functions.index('a')
            variables = mi.ask('-stack-list-variables --thread %s --frame %d --simple-values' % (self.crashed, frame))
            self.assertIn('name="a_local",type="int",value="%s"' % self.a_local, variables)
            self.assertIn('value="%s"' % self.g_int, mi.ask('-data-evaluate-expression g_int'))
            self.assertIn('value="%s"' % self.g_int, mi.ask('-var-create - * g_int'))
            read = mi.ask('-data-read-memory-bytes %s %d' % (self.g_array, len(self.text)))
            self.assertIn('contents="%s"' % self.text.encode().hex(), read)
            code = mi.ask('-data-disassemble -s $pc -e "$pc + 8" -- 2')
            first = re.search(r'address="(0x\w+)",.*?opcodes="([0-9a-f ]+)"', code)
            read = mi.ask('-data-read-memory-bytes $pc %d' % len(bytes.fromhex(first[2])))
            self.assertIn('contents="%s"' % bytes.fromhex(first[2]).hex(), read)
            pc = case.expect.dmesg_registers().get('pc')
            if pc:
                self.assertEqual(int(first[1], 16), pc)
            names = re.findall(r'"(\w*)"', mi.ask('-data-list-register-names'))
            number = names.index({'x86_64': 'rip', 'aarch64': 'pc'}[case.arch])
            value = re.search(r'value="(0x\w+)"', mi.ask('-data-list-register-values x %d' % number))
            self.assertEqual(int(value[1], 16), int(first[1], 16))
            self.assertEqual(mi.ask('-interpreter-exec console "monitor info"'), '^done')
            self.assertIn(case.expect.head['build_id'][:8], ''.join(mi.records))
        self.each(check)

    def test_running_is_refused(self):
        def check(mi, case):
            self.assertIn('^done', mi.ask('-break-insert -f main'))
            for command in ('-exec-continue', '-exec-continue --all', '-exec-next', '-exec-step', '-exec-finish',
                            '-exec-next-instruction', '-exec-step-instruction'):
                mi.records.clear()
                self.assertEqual(mi.ask(command), '^running', command)
                # "Signal 0": it stopped, for nothing that happened
                self.assertIn('signal-name="0"', mi.until('*stopped'), command)
                self.assertIn('core file, it cannot be run', ''.join(mi.records), command)
                self.assertIn('func="%s"' % self.functions[0], mi.ask('-stack-list-frames 0 0'), command)
                self.assertIn(self.g_int, mi.ask('-data-evaluate-expression g_int'), command)
            self.assertEqual(mi.ask('-exec-interrupt'), '^done')
            self.assertIn('state="stopped"', mi.ask('-thread-info'))
        self.each(check)

    def test_writing_is_refused(self):
        def check(mi, case):
            self.assertIn('^done', mi.ask('-var-create v * g_int'))
            for command in ('-data-write-memory-bytes %s 41' % self.g_array, '-gdb-set var g_int = 1',
                            '-data-evaluate-expression "g_int = 1"', '-data-evaluate-expression twice(2)',
                            '-var-assign v 1'):
                self.assertIn('^error', mi.ask(command), command)
                self.assertIn(self.g_int, mi.ask('-data-evaluate-expression g_int'), command)
        self.each(check)


if __name__ == '__main__':
    gocore.main()
