#!/usr/bin/env python3
"""A real lldb through the stub: what it shows is what its own core reader shows of the same core,
and what the program and the kernel wrote down; what a dead process cannot do leaves the session alive."""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

REFUSED_RUN = ['process continue', 'thread step-inst', 'thread step-over', 'thread step-in', 'thread step-out',
               'thread step-inst-over', 'thread continue']
REFUSED_WRITE = [('memory write &g_int 1', r'write.* failed'),
                 ('expression g_int = 1', r"(?i)couldn't write|write.*fail"),
                 ('expression (int)twice(2)', r"(?i)can't evaluate|error"),
                 ('register write pc 1', r'(?i)failed to write register'),
                 ('process interrupt', r'(?i)not running|no process|error|^$')]
TOP = ['register read pc sp', 'target variable g_int']


def threads_of(text):
    """`thread list`: number, pc, and what is behind it, by thread id."""
    return {int(tid, 0): (int(number), int(pc, 16), rest) for number, tid, pc, rest in re.findall(
        r'thread #(\d+): tid = (\w+), 0x([0-9a-f]+)(.*)', text)}


def registers_of(text):
    """Names and values; numbers as numbers, since the same register is 32 bits wide here and 64 there."""
    out = {}
    for name, value in re.findall(r'^ *(\w+) = (\{.*\}|0x[0-9a-f]+|[^ {(]+)', text, flags=re.M):
        out[{'rflags': 'eflags'}.get(name, name)] = int(value, 16) if value.startswith('0x') else value.strip()
    return out


def frames_of(text):
    """
    Frame, pc and function. lldb shows the frame of a thread that was selected before some time later,
    which is a stack of its own here, and the shorter one.
    Arguments are left out: strings in pages that were not dumped are the stub's alone.
    """
    stacks = [[]]
    for number, pc, name in re.findall(r'frame #(\d+): (0x[0-9a-f]+)(?: [^ `]+`([\w.]+))?', text):
        if number == '0':
            stacks.append([])
        stacks[-1].append((int(number), pc, '' if name.startswith('___lldb_unnamed') else name))
    return max(stacks, key=len)


def memory_of(text):
    return re.findall(r'^0x[0-9a-f]+: .*', text, flags=re.M)


class Session(unittest.TestCase):
    def each(self, function, name='threads', **kwargs):
        for lldb in gocore.lldbs():
            for arch in gocore.ARCHES:
                with self.subTest(lldb=lldb, arch=arch):
                    case = gocore.Case(arch, name[arch] if isinstance(name, dict) else name)
                    # gdb-remote takes no path of a socket
                    with case.serve(listen='127.0.0.1:0', **kwargs) as stub:
                        function(lldb, case, stub)

    @staticmethod
    def local(case):
        """The program and its libraries are on this side too."""
        return ['platform select --sysroot %s remote-linux' % case.sysroot, 'target create ' + case.bin]

    def remote(self, case, stub):
        return [*self.local(case), 'gdb-remote ' + stub.gdb_address]

    def own(self, case):
        """lldb's own reader of the same core."""
        first, create = self.local(case)
        return [first, '%s --core %s' % (create, case.core)]

    def test_as_its_own_core_reader(self):
        def check(lldb, case, stub):
            numbers = {tid: n for tid, (n, _, _) in threads_of(gocore.ask_lldb(
                lldb, [*self.own(case), 'thread list'])[-1]).items()}
            self.assertEqual(sorted(numbers), sorted(case.expect.tids))
            answers = []
            for begin in (self.own(case), self.remote(case, stub)):
                threads = threads_of(gocore.ask_lldb(lldb, [*begin, 'thread list'])[-1])
                questions = []
                for tid in sorted(threads):
                    questions += ['thread select %d' % threads[tid][0], 'bt', 'register read --all',
                                  'memory read --force --size 8 --format x --count 16 $sp']
                answers.append((threads, gocore.ask_lldb(lldb, [*begin, *questions])[len(begin):]))
            (own, before), (ours, after) = answers
            self.assertEqual({t: v[1] for t, v in own.items()}, {t: v[1] for t, v in ours.items()})
            for i, tid in enumerate(sorted(own)):
                _, bt, registers, memory = before[4 * i:4 * i + 4]
                _, our_bt, our_registers, our_memory = after[4 * i:4 * i + 4]
                self.assertEqual(frames_of(our_bt), frames_of(bt), 'thread %d' % tid)
                self.assertTrue(memory_of(memory))
                self.assertEqual(memory_of(our_memory), memory_of(memory))
                mine, theirs = registers_of(our_registers), registers_of(registers)
                same = [r for r in theirs if r in mine and r not in ('ftag', 'mte_ctrl')]
                self.assertGreater(len(same), 25)
                for r in same:
                    self.assertEqual(mine[r], theirs[r], '%s of thread %d' % (r, tid))
        self.each(check)

    def test_what_is_known(self):
        """Threads, signal, address and function of the crash as the kernel and the source have them."""
        def check(lldb, case, stub):
            expect = case.expect
            *_, threads, bt, status = gocore.ask_lldb(
                lldb, [*self.remote(case, stub), 'thread list', 'bt', 'process status'])
            rows = threads_of(threads)
            self.assertEqual(sorted(rows), sorted(expect.tids))
            crashed = [tid for tid, (_, _, rest) in rows.items() if 'stop reason' in rest]
            self.assertEqual(crashed, expect.tids[:1], threads)
            signo, code, addr = expect.siginfo
            self.assertEqual((signo, code), (11, 1))
            self.assertIn('stop reason = SIGSEGV: address not mapped to object (fault address=0x%x)' % addr, status)
            self.assertEqual([f[2] for f in frames_of(bt)][:4], ['c', 'b', 'a', 'crasher'])
            pc = expect.dmesg_registers().get('pc')
            if pc:
                self.assertEqual(rows[expect.tids[0]][1], pc)
        self.each(check)

    def test_sender(self):
        """A signal that was sent has a sender; the words are those of lldb 21's own core reader."""
        def check(lldb, case, stub):
            signo, code, sender = case.expect.siginfo
            self.assertEqual((signo, code), (6, -6))
            status = gocore.ask_lldb(lldb, [*self.remote(case, stub), 'process status'])[-1]
            self.assertIn('stop reason = SIGABRT: sent by tkill system call (sender pid=%d, uid=%d)' % (
                sender & 0xffffffff, sender >> 32), status)
        self.each(check, 'abort')

    def test_nothing_given(self):
        """No `target create`: the program is found by the path that the core names, under the sysroot."""
        def check(lldb, case, stub):
            with tempfile.TemporaryDirectory() as root, gocore.Rsp(stub) as raw:
                path = raw.transfer('exec-file').decode()
                self.assertTrue(path.startswith('/'), path)
                for name in os.listdir(case.sysroot):
                    os.symlink(os.path.join(case.sysroot, name), os.path.join(root, name))
                os.makedirs(os.path.dirname(root + path), exist_ok=True)
                os.symlink(case.bin, root + path)
                *_, images, bt = gocore.ask_lldb(
                    lldb, ['platform select --sysroot %s remote-linux' % root, 'gdb-remote ' + stub.gdb_address,
                           'image list', 'bt'])
                self.assertIn(root + path, images)
                self.assertRegex(images, r'libc\.so\.6')
                self.assertEqual([f[2] for f in frames_of(bt)][:4], ['c', 'b', 'a', 'crasher'])
        self.each(check)

    def test_running_and_writing_are_refused(self):
        def check(lldb, case, stub):
            commands = [*REFUSED_RUN, *(c for c, _ in REFUSED_WRITE), 'breakpoint set --name c', *REFUSED_RUN[:2]]
            begin = self.remote(case, stub)
            answers = gocore.ask_lldb(lldb, [*begin, *TOP, *(q for c in commands for q in (c, *TOP)), 'thread list'])
            before, answers = answers[len(begin):len(begin) + 2], answers[len(begin) + 2:]
            self.assertIn('g_int = -123456789', before[1])
            for i, command in enumerate(commands):
                said, *now = answers[3 * i:3 * i + 3]
                self.assertEqual(now, before, 'after "%s", which said:\n%s' % (command, said))
                if command in REFUSED_RUN:
                    self.assertEqual(said.count('this is a core file, it cannot be run'), 1, said)
                    self.assertIn('stop reason = SIGSEGV', said)
                for name, says in REFUSED_WRITE:
                    if name == command:
                        self.assertRegex(said, says)
            self.assertEqual(len(threads_of(answers[-1])), len(case.expect.tids))
        self.each(check)

    def test_leaving_and_coming_back(self):
        def check(lldb, case, stub):
            begin = self.remote(case, stub)
            again = begin[-1:]
            commands = [*begin, TOP[0], 'process kill', *again, TOP[0], 'process detach',
                        'process connect --plugin gdb-remote connect://' + stub.gdb_address, TOP[0]]
            answers = gocore.ask_lldb(lldb, commands)
            first, second, third = (answers[i] for i, c in enumerate(commands) if c == TOP[0])
            self.assertRegex(first, 'pc = 0x|rip = 0x')
            self.assertEqual([second, third], [first, first])
            self.assertNotRegex('\n'.join(answers), r'lost connection|failed to send')
            self.assertTrue(stub.alive())
        self.each(check)

    def test_memory_regions(self):
        """As the process itself saw them, and a hole where there is nothing."""
        def check(lldb, case, stub):
            start, end, perms = next((s, e, p) for s, e, p, _, name in case.expect.maps() if name == '[stack]')
            rows = [r for r in case.expect.maps() if r[2][:3] in ('r-x', 'rw-', 'r--')][:8]
            begin = self.remote(case, stub)
            answers = gocore.ask_lldb(lldb, [*begin, 'memory region 0', *('memory region 0x%x' % r[0] for r in rows)])
            self.assertRegex(answers[len(begin)], r'^\[0x0+-0x[0-9a-f]+\) ---')
            self.assertLess(start, end)
            self.assertIn('rw', perms)
            for row, answer in zip(rows, answers[len(begin) + 1:]):
                found = re.match(r'\[0x([0-9a-f]+)-0x([0-9a-f]+)\) (...)', answer)
                self.assertTrue(found, answer)
                self.assertLessEqual(int(found[1], 16), row[0])
                self.assertGreater(int(found[2], 16), row[0])
                self.assertEqual(found[3], row[2][:3], answer)
        self.each(check)

    def test_monitor(self):
        def check(lldb, case, stub):
            answer = gocore.ask_lldb(lldb, [*self.remote(case, stub), 'process plugin packet monitor help'])[-1]
            self.assertIn('gocore-stub knows these monitor commands', answer)
            self.assertIn('response: OK', answer)
        self.each(check)

    def test_stripped(self):
        """A stripped Go program: what the banner says to type brings the names."""
        if not shutil.which('strip'):
            raise unittest.SkipTest('strip(1) is not installed')
        for lldb in gocore.lldbs():
            case = gocore.Case('x86_64', 'segv-go1.26')
            with self.subTest(lldb=lldb), tempfile.TemporaryDirectory() as tmp:
                program = os.path.join(tmp, 'stripped')
                subprocess.run(['strip', '-o', program, case.bin], check=True)
                with gocore.Stub(case.core, program, listen='127.0.0.1:0') as stub:
                    line = re.search(r'lldb fetches no files; for it: gocore-stub (.*)\n', stub.stderr)[1]
                    create = re.search(r'first of all: (target create .*)\n', stub.stderr)[1]
                    done = gocore.run_stub(*shlex.split(line), cwd=tmp)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    create = create.replace('go.sym', os.path.join(tmp, 'go.sym'))
                    bt = gocore.ask_lldb(lldb, [create, 'gdb-remote ' + stub.gdb_address, 'bt'])[-1]
                    self.assertIn('runtime.raise', [f[2] for f in frames_of(bt)][:1], bt)
                    self.assertRegex(bt, r'main\.\w+.* at \w+\.go:\d+')

    def test_goroutines(self):
        """Goroutines are threads, each with its number and what it waits for as its name."""
        def check(lldb, case, stub):
            answer = gocore.ask_lldb(lldb, [*self.remote(case, stub), 'thread list'])[-1]
            names = re.findall(r"tid = \d+.*name = 'G(\d+) ([^']*)'", answer)
            self.assertGreater(len(names), 5, answer)
            self.assertEqual(len({n for n, _ in names}), len(names))
            self.assertTrue(any('main.' in text for _, text in names), answer)
        self.each(check, {'x86_64': 'segv-go1.26', 'aarch64': 'panic-go1.24'})


if __name__ == '__main__':
    gocore.main()
