#!/usr/bin/env python3
"""Whatever a user types that a dead process cannot do: one clear sentence, and the session goes on
with the same threads at the same place. Sessions begin, end and overlap as the user likes."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

# Each: the command and what its answer must say. All are for the crashed thread of threads.c.
CORE_FILE = r'(?i)core file'
REFUSED_RUN = ['continue', 'stepi', 'step', 'next', 'nexti', 'until', 'advance main', 'signal SIGINT',
               'signal 0', 'jump *$pc']
REFUSED_WRITE = [('set var g_int = 1', r'(?i)cannot access memory|core file'),
                 ('print g_int = 1', r'(?i)cannot access memory|core file'),
                 ('set {char}&g_array = 1', r'(?i)cannot access memory|core file'),
                 ('call twice(2)', r'(?i)cannot access memory|core file|could not write'),
                 ('print $pc = 0', r'(?i)could not write|core file|cannot')]
ACCEPTED = [('break main', r'Breakpoint \d+ at'), ('tbreak twice', r'breakpoint \d+ at'),
            ('hbreak a', r'assisted breakpoint \d+ at'), ('watch g_int', r'atchpoint \d+'),
            ('rwatch g_int', r'atchpoint \d+'), ('awatch g_int', r'atchpoint \d+'),
            ('info breakpoints', r'Breakpoint|breakpoint'), ('delete', r'^'),
            ('catch syscall', r'(?i)catchpoint|not support|does not'), ('delete', r'^'),
            ('info inferiors', r'process|Remote'), ('info signals SIGSEGV', r'SIGSEGV')]
OTHER = [('reverse-continue', r'(?i)not (currently )?support'), ('run', r'(?i)does not support "run"'),
         ('interrupt', r'^'), ('checkpoint', r'^')]


class RunControl(unittest.TestCase):
    def each(self, function):
        for gdb in gocore.gdbs():
            for arch in gocore.ARCHES:
                if gocore.knows_arch(gdb, arch):
                    with self.subTest(gdb=gdb, arch=arch):
                        case = gocore.Case(arch, 'threads')
                        with case.serve() as stub:
                            function(gdb, case, stub, ['target remote ' + stub.gdb_address])

    def unharmed(self, gdb, case, begin, commands):
        """Each command with the state after it: (answers, all as before)."""
        state = ['output/x $pc', 'output/x $sp', 'output g_int', 'info threads']
        _, answers = gocore.ask_gdb(gdb, begin, [*state, *(q for c in commands for q in (c, *state[:3])), state[3]])
        before, after, rest = answers[:3], answers[-1], answers[4:-1]
        registers = case.expect.dmesg_registers()
        if registers:
            self.assertEqual(int(before[0], 16), registers['pc'])
        self.assertEqual(before[2], '-123456789')
        self.assertEqual(after.count('Thread '), len(case.expect.tids), after)
        said = []
        for i, command in enumerate(commands):
            answer, *now = rest[4 * i:4 * i + 4]
            self.assertEqual(now, before, 'after "%s", which said:\n%s' % (command, answer))
            said.append(answer)
        return said

    def test_running_is_refused(self):
        def check(gdb, case, stub, begin):
            for command, answer in zip(REFUSED_RUN, self.unharmed(gdb, case, begin, REFUSED_RUN)):
                self.assertRegex(answer, CORE_FILE, command)
            print('  %s, %s: %s' % (gdb, case.arch, answer.splitlines()[0]))
        self.each(check)

    def test_writing_is_refused(self):
        def check(gdb, case, stub, begin):
            commands = [c for c, _ in REFUSED_WRITE]
            for (command, says), answer in zip(REFUSED_WRITE, self.unharmed(gdb, case, begin, commands)):
                self.assertRegex(answer, says, command)
        self.each(check)

    def test_breakpoints(self):
        def check(gdb, case, stub, begin):
            commands = [c for c, _ in ACCEPTED] + [c for c, _ in OTHER]
            for (command, says), answer in zip(ACCEPTED + OTHER, self.unharmed(gdb, case, begin, commands)):
                self.assertRegex(answer, says, command)
        self.each(check)

    def test_breakpoint_then_continue(self):
        """The message is the one about the core file, not one about inserting the breakpoint."""
        def check(gdb, case, stub, begin):
            answers = self.unharmed(gdb, case, begin, ['break c', 'watch g_int', 'continue', 'continue'])
            for answer in answers[2:]:
                self.assertRegex(answer, CORE_FILE)
                self.assertNotIn('Cannot insert', answer)
        self.each(check)

    def test_leaving_and_coming_back(self):
        def check(gdb, case, stub, begin):
            pcs = []
            for leave in ('disconnect', 'detach', 'kill', 'disconnect'):
                out = gocore.run_gdb(gdb, [*begin, 'output/x $pc', leave, *begin, r'echo \n@@', 'output/x $pc'])
                pcs.append(out.rpartition('@@')[2].strip())
                self.assertTrue(stub.alive(), 'after ' + leave)
                self.assertNotIn('Remote connection closed', out)
            self.assertEqual(len(set(pcs)), 1, pcs)
            self.assertRegex(pcs[0], '^0x')
        self.each(check)

    def test_two_at_once(self):
        """Both are connected before either goes on; each has its own selected thread."""
        def check(gdb, case, stub, begin):
            marks = [os.path.join(stub.tmp, 'mark%d' % i) for i in range(2)]
            wait = 'shell while [ ! -e %s ]; do sleep 0.05; done'
            numbers = gocore.thread_numbers(gdb, begin)
            tids = case.expect.tids
            sessions = []
            for i in range(2):
                commands = [*begin, 'thread %d' % numbers[tids[i]], 'shell touch ' + marks[i], wait % marks[1 - i],
                            'flushregs', r'echo \n@@', 'thread']
                sessions.append(subprocess.Popen(
                    [gdb, '-nx', '-batch', *(a for c in commands for a in ('-ex', c))], text=True,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
            for tid, session in zip(tids, sessions):
                out = session.communicate(timeout=60 * gocore.SLOW)[0]
                self.assertRegex(out.rpartition('@@')[2], r'Thread (\d+\.)?%d\b' % tid, out)
        self.each(check)

    def test_once(self):
        """--once: the server ends with its first client."""
        for gdb in gocore.gdbs():
            if gocore.knows_arch(gdb, 'x86_64'):
                case = gocore.Case('x86_64', 'threads')
                stub = gocore.Stub(case.core, case.bin, ['--once'])
                try:
                    gocore.run_gdb(gdb, ['target remote ' + stub.gdb_address])
                    self.assertTrue(gocore.eventually(lambda: not stub.alive()), 'still there')
                    self.assertEqual(stub.proc.returncode, 0)
                finally:
                    stub.close()

    def test_pipe(self):
        """target remote | gocore-stub ... --listen=stdio"""
        case = gocore.Case('aarch64', 'threads')
        for gdb in gocore.gdbs():
            if gocore.knows_arch(gdb, 'aarch64'):
                command = ' '.join([*gocore.STUB, case.core, case.bin, '--listen=stdio'])
                _, (pc,) = gocore.ask_gdb(gdb, ['target remote | ' + command], ['output/x $pc'])
                self.assertEqual(int(pc, 16), case.expect.dmesg_registers()['pc'])

    def test_tcp(self):
        """A free port on loopback, told on standard error."""
        case = gocore.Case('aarch64', 'threads')
        for gdb in gocore.gdbs():
            if gocore.knows_arch(gdb, 'aarch64'):
                with gocore.Stub(case.core, case.bin, listen=':0') as stub:
                    self.assertRegex(stub.address, r'^127\.0\.0\.1:\d+$')
                    _, (pc,) = gocore.ask_gdb(gdb, ['target remote ' + stub.address], ['output/x $pc'])
                    self.assertEqual(int(pc, 16), case.expect.dmesg_registers()['pc'])

    def test_socket_is_private(self):
        case = gocore.Case('aarch64', 'threads')
        with gocore.Stub(case.core, case.bin) as stub:
            self.assertEqual(os.stat(stub.path).st_mode & 0o777, 0o600)

    def test_monitor(self):
        def check(gdb, case, stub, begin):
            commands = ['monitor help', 'monitor info', 'monitor maps', 'monitor images', 'monitor notes',
                        'monitor problems', 'monitor nonsense']
            said = self.unharmed(gdb, case, begin, commands)
            self.assertIn('images', said[0])
            self.assertIn(case.expect.head['build_id'][:8], said[1] + said[3])
            self.assertRegex(said[6], 'nonsense|help')
        self.each(check)


if __name__ == '__main__':
    gocore.main()
