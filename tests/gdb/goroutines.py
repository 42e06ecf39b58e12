#!/usr/bin/env python3
"""gdb's threads are the goroutines: each one that the runtime printed when it died (expect.txt,
stderr) is there with its state, and its backtrace has the functions and lines that were printed;
with the program's debug information, and from a stripped program with nothing local in gdb.

GOCORE_UNPACKED names a folder ARCH/CASE/{core,bin,expect.txt} to test instead of the bundled cores.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import gocore
import printed

BASE = 1000000000          # GC_GO_TID_BASE
ROW = re.compile(r'^[* ] +(\d+) +Thread (?:\d+\.)?(\d+) (?:"([^"]*)")?(?: \(([^)]*)\) )?', re.M)
FRAME = re.compile(r'^#(\d+) +(?:0x([0-9a-f]+) in )?(.*)$')
LOCATION = re.compile(r' at (\S+):(\d+)$')
GO_STATE = 'G%d %s '
SIGNAL = ('<signal handler called>', None, None)


def cases(pattern):
    found = [case for case in printed.cases() if re.search(pattern, case.name)]
    if not found:
        raise unittest.SkipTest('there is no core %s' % pattern)
    return found


def strip(program, to):
    """Without symbols and debug information, whatever the architecture."""
    for tool in ('objcopy', 'aarch64-linux-gnu-objcopy', 'x86_64-linux-gnu-objcopy', 'llvm-objcopy'):
        if shutil.which(tool) and subprocess.run([tool, '--strip-all', program, to], stderr=subprocess.DEVNULL,
                                                 check=False).returncode == 0:
            return to
    raise unittest.SkipTest('no objcopy knows this architecture')


def without_instance(name):
    """main.(*Stack[go.shape.int]).Peek -> main.(*Stack[...]).Peek"""
    out, depth = '', 0
    for c in name:
        depth -= c == ']'
        if depth == 0:
            out += c
        depth += c == '['
        if c == '[' and depth == 1:
            out += '...'
    return out


def function_of(text):
    """What stands before the arguments: "main.f (x=1) at ..." """
    m = re.match(r'(.*?) \(', text)
    name = without_instance(m[1] if m else text)
    return 'panic' if name == 'runtime.gopanic' else name


def stack(text):
    """[(function, file, line)] of a backtrace, down to goexit."""
    out = []
    for line in text.splitlines():
        m = FRAME.match(line)
        if not m:
            continue
        if '<signal handler called>' in m[3]:
            out.append(SIGNAL)
            continue
        at = LOCATION.search(m[3])
        out.append((function_of(m[3]), at and at[1].replace('./<auto', '<auto'), at and int(at[2])))
        if out[-1][0] == 'runtime.goexit':
            break
    return out


def without_signals(got, wanted):
    """
    The runtime prints no line where a signal interrupted a function; and with the program's own
    debug information gdb shows that line in the place of runtime.sigpanic.
    """
    wanted, out = list(wanted), []
    for frame in reversed(got):
        if frame != SIGNAL:
            out.insert(0, frame)
        elif len(out) < len(wanted) and wanted[-1 - len(out)][0] == 'runtime.sigpanic':
            out.insert(0, wanted[-1 - len(out)])
    for i, frame in enumerate(out[:-1]):            # it has both from a stripped program
        if frame[0] == out[i + 1][0] == 'runtime.sigpanic':
            return out[:i] + out[i + 1:]
    return out


class Threads:
    """info threads and thread apply all bt of one session."""

    def __init__(self, gdb, stub, start=(), limit=''):
        head, (rows, stacks) = gocore.ask_gdb(gdb, [*start, 'target remote ' + stub.gdb_address],
                                              ['info threads', 'thread apply all backtrace ' + limit], 300)
        self.head, self.text, self.stacks = head, rows, {}
        self.rows = [(int(m[1]), int(m[2]), m[3] or '', m[4] or '') for m in ROW.finditer(rows or '')]
        for block in re.split(r'^(?=Thread \d+ \()', stacks or '', flags=re.M):
            m = re.match(r'Thread (\d+) \(', block)
            if m:
                self.stacks[int(m[1])] = stack(block)

    def of(self, goid):
        """(number, name, extra) of the thread that shows a goroutine's own stack."""
        for number, tid, name, extra in self.rows:
            if tid == BASE + goid or re.match(r'G%d ' % goid, name):
                return number, name, extra
        return None


def differences(want, threads, own_lines):
    row = threads.of(want.goid)
    if not row:
        yield 'is not a thread'
        return
    number, name, extra = row
    state = want.state + (' %dm' % want.minutes if want.minutes else '')
    if not name.startswith(GO_STATE % (want.goid, state)):
        yield 'is "%s", printed [%s]' % (name, state)
    if ('locked' in extra) != want.locked:
        yield 'extra "%s", printed locked: %s' % (extra, want.locked)
    wanted = [(without_instance(f.function), f.file, f.line) for f in want.frames]
    got = threads.stacks.get(number, [])
    if got and got[-1][0] == 'main.main' and 'runtime.main' in [f[0] for f in wanted]:
        wanted = wanted[:-2]                        # set backtrace past-main is off
    got = without_signals(got, wanted)
    if len(got) > len(wanted) and want.state in ('running', 'syscall'):
        got = got[len(got) - len(wanted):]          # what the runtime did to die, or to enter the kernel
    # by the program's own lines where it goes on, not where it called; in a system call the thread has gone on
    moved = want.state == 'syscall' or own_lines and want.state != 'running'
    if moved and got and wanted and got[0][:2] == wanted[0][:2]:
        got[0] = wanted[0]
    if got != wanted:
        yield 'stack\n    %s\nprinted\n    %s' % ('\n    '.join(map(str, got)), '\n    '.join(map(str, wanted)))


class Printed(unittest.TestCase):
    """Against the traceback of the runtime itself."""
    maxDiff = None

    def compare(self, case, stub, gdb, own_lines):
        threads = Threads(gdb, stub)
        allowed = printed.exceptions()[str(case)]
        want = [g for g in printed.tracebacks(case.expect.sections['stderr']) if str(g.goid) not in allowed]
        self.assertGreater(len(want), 4)
        wrong = ['goroutine %d %s' % (g.goid, d) for g in want for d in differences(g, threads, own_lines)]
        self.assertEqual(wrong, [], '%d of %d\n%s\n%s' % (len(wrong), len(want), threads.head, threads.text))
        first = threads.rows[0]
        self.assertEqual(first[1], case.expect.tids[0])
        self.assertIn('crashed', first[3])
        self.assertRegex(threads.text, r'(?m)^\* 1 ')

    def each(self, pattern, program, own_lines):
        for case in cases(pattern):
            for gdb in gocore.gdbs():
                if not gocore.knows_arch(gdb, case.arch):
                    continue
                with self.subTest('%s %s' % (case, gdb)), tempfile.TemporaryDirectory() as tmp, \
                        gocore.Stub(case.core, program(case, tmp), ['--sysroot=' + case.sysroot]) as stub:
                    self.compare(case, stub, gdb, own_lines)

    def test_program(self):
        self.each('^panic-|^segv-go[0-9.]+$', lambda case, tmp: case.bin, True)

    def test_stripped(self):
        self.each('^panic-|^segv-go[0-9.]+$', lambda case, tmp: strip(case.bin, os.path.join(tmp, 'program')),
                  False)


class Many(unittest.TestCase):
    def test_groups(self):
        for case in cases('^many-'):
            for gdb in gocore.gdbs():
                if not gocore.knows_arch(gdb, case.arch):
                    continue
                with self.subTest('%s %s' % (case, gdb)), gocore.Stub(case.core, case.bin) as stub:
                    self.assertIn(' 20007 goroutines', stub.stderr)
                    begin = time.monotonic()
                    _, (rows, _, bt) = gocore.ask_gdb(gdb, ['target remote ' + stub.gdb_address],
                                                      ['info threads', 'thread 3', 'backtrace'])
                    self.assertLess(time.monotonic() - begin, 5 * gocore.SLOW)
                    self.assertLess(len(ROW.findall(rows)), 100)
                    self.assertRegex(rows, r'"G\d+ x\d{4,5} chan receive (\d+m )?main.worker"')
                    self.assertRegex(bt, r'^#0 ')

    def test_every_one_is_reachable(self):
        for case in cases('^many-'):
            with self.subTest(str(case)), gocore.Stub(case.core, case.bin) as stub:
                with gocore.Rsp(stub) as rsp:
                    listed = monitor(rsp, 'goroutines')
                    self.assertEqual(len(re.findall(r'^G\d+ \[', listed, flags=re.M)), 20007)
                    last = re.findall(r'^G(\d+) \[chan receive[^\]]*\] main.worker', listed, flags=re.M)[-1]
                    one = monitor(rsp, 'goroutines ' + last)
                    self.assertIn('main.worker at ', one)
                    self.assertIn('created by main.main', one)
                    self.assertRegex(monitor(rsp, 'goroutines -group'), r'(?m)^\d{4,5} goroutines \[chan receive')
                    # folded ones can be selected too
                    self.assertEqual(rsp.ask('Hg%x' % (BASE + int(last))), b'OK')
                    self.assertIn(b'x', rsp.ask('g'))


def monitor(rsp, command):
    rsp.send('qRcmd,' + command.encode().hex())
    out = b''
    while True:
        reply = rsp.receive()
        if reply == b'OK':
            return out.decode()
        assert reply.startswith(b'O'), reply[:40]
        out += bytes.fromhex(reply[1:].decode())


class Modes(unittest.TestCase):
    def ids(self, stub):
        with gocore.Rsp(stub) as rsp:
            stop = rsp.ask('?').decode()
            document = rsp.transfer('threads').decode()
        return stop, [int(i, 16) for i in re.findall(r'<thread id="([0-9a-f]+)"', document)]

    def test_modes(self):
        case = cases('^panic-')[0]
        goids = {g.goid for g in printed.tracebacks(case.expect.sections['stderr'])}
        tids = case.expect.tids
        with gocore.Stub(case.core, case.bin, ['--threads=os']) as stub:
            stop, ids = self.ids(stub)
            self.assertEqual(ids, tids)
            self.assertNotIn('goroutines', stub.stderr)
        with gocore.Stub(case.core, case.bin, ['--threads=all']) as stub:
            stop, ids = self.ids(stub)
            self.assertEqual(ids[:len(tids)], tids)
            self.assertEqual(stop, 'T06thread:%x;' % tids[0])
            self.assertEqual(ids[len(tids):], sorted(ids[len(tids):]))
            self.assertLessEqual({i - BASE for i in ids[len(tids):]}, goids)
            again = self.ids(stub)
            self.assertEqual(again, (stop, ids))
        with gocore.Stub(case.core, case.bin, ['--threads=go']) as stub:
            stop, ids = self.ids(stub)
            self.assertEqual({i - BASE for i in ids}, goids)
            crashed = next(printed.tracebacks(case.expect.sections['stderr'])).goid
            self.assertEqual(ids[0], BASE + crashed)
            self.assertEqual(stop, 'T06thread:%x;' % ids[0])
            self.assertEqual(ids[1:], sorted(ids[1:]))

    def test_no_go(self):
        case = gocore.Case('x86_64', 'threads')
        with case.serve() as stub:
            self.assertNotIn('goroutine', stub.stderr)
        with gocore.Stub(case.core, case.bin, ['--threads=go', '--sysroot=' + case.sysroot]) as stub:
            self.assertIn('goroutines cannot be shown: ', stub.stderr)
            self.assertEqual(self.ids(stub)[1], case.expect.tids)

    def test_cut(self):
        """Without the runtime's data the OS threads are served, and one line says why."""
        case = cases('^panic-')[0]
        with tempfile.TemporaryDirectory() as tmp:
            cut = os.path.join(tmp, 'core')
            with open(case.core, 'rb') as f, open(cut, 'wb') as to:
                to.write(f.read(200000))
            with gocore.Stub(cut, case.bin) as stub:
                self.assertEqual(stub.stderr.count('goroutines cannot be shown: '), 1, stub.stderr)
                self.assertEqual(self.ids(stub)[1], case.expect.tids)

    def test_usage(self):
        for option in ('--threads=none', '--threads=', '--goroutines=x', '--goroutines=-1'):
            self.assertEqual(gocore.run_stub('core', option).returncode, 2, option)


class Registers(unittest.TestCase):
    def test_parked(self):
        """Of a goroutine that waits, only what the runtime kept of it is known."""
        for case in cases('^panic-'):
            with self.subTest(str(case)), gocore.Stub(case.core, case.bin) as stub:
                known = {'x86_64': {'rip', 'rsp', 'rbp', 'r14'}, 'aarch64': {'pc', 'sp', 'x29', 'x28'}}[case.arch]
                want = [g for g in printed.tracebacks(case.expect.sections['stderr']) if g.state == 'select'][0]
                gdb = next(g for g in gocore.gdbs() if gocore.knows_arch(g, case.arch))
                threads = Threads(gdb, stub, limit='1')
                _, (regs,) = gocore.ask_gdb(gdb, ['target remote ' + stub.gdb_address],
                                            [['thread %d' % threads.of(want.goid)[0], 'info registers']])
                rows = dict(re.findall(r'^(\w+) +(\S+)', regs, flags=re.M))
                self.assertEqual({name for name, value in rows.items() if value != '<unavailable>'}, known)
                pc, sp = ('rip', 'rsp') if case.arch == 'x86_64' else ('pc', 'sp')
                self.assertEqual(int(rows[pc], 16), int(want.frames[0].pc, 16))
                self.assertEqual(int(rows[sp], 16), int(want.frames[0].sp, 16))


class Values(unittest.TestCase):
    """What the panic program printed of its variables before it died, in frames of its goroutines."""

    def test_variables(self):
        for case in cases('^panic-'):
            stdout = case.expect.sections['stdout']
            req, server = re.search(r'^req = (0x\w+)', stdout, re.M)[1], re.search(r'globalServer = (0x\w+)', stdout)[1]
            places = dict(re.findall(r'(aString|aStruct|aPointer|aChan) (?:at )?(0x\w+)', stdout))
            self.assertEqual(len(places), 4)
            died = next(printed.tracebacks(case.expect.sections['stderr'])).goid
            for gdb in gocore.gdbs():
                if not gocore.knows_arch(gdb, case.arch):
                    continue
                with self.subTest('%s %s' % (case, gdb)), gocore.Stub(case.core, case.bin) as stub:
                    threads = Threads(gdb, stub, limit='1')
                    parked = ['thread %d' % threads.of(1)[0], 'frame function main.main']
                    crashed = ['thread %d' % threads.of(died)[0], 'frame function main.(*Server).locals']
                    _, answers = gocore.ask_gdb(gdb, ['target remote ' + stub.gdb_address], [
                        [*parked, 'info locals'], 'output/x req', 'output/x s', [*crashed, 'info locals']])
                    self.assertIn('req = ' + req, answers[0])
                    self.assertEqual(answers[1:3], [req, server])
                    for name, value in places.items():
                        self.assertRegex(answers[3], r'(?m)^&?%s = %s\b' % (name, value))


class Cgo(unittest.TestCase):
    """C frames, the Go frames that called them, the callback's, and so on, in one stack, with nothing local in gdb."""
    maxDiff = None
    INNER = ['overrun', 'c_inner', 'Cfunc_c_inner']
    OUTER = ['crosscall2', 'goCallback', 'c_outer', 'Cfunc_c_outer']
    SWITCHES = ('<signal handler called>', '<stack switch>', 'runtime.asmcgocall')

    def go_frames(self, case):
        """Of the runtime's traceback, which knows no C; the program that dumped at once printed none."""
        printing = next(c for c in cases('^cgocrash-') if c.arch == case.arch and c.name == case.name.replace('-default', ''))
        frames = [(f.function, f.file, f.line) for g in printed.tracebacks(printing.expect.sections['stderr'])
                  if g.goid == 1 for f in g.frames]
        self.assertEqual(frames[0][0], 'runtime.cgocall')
        frames[0] = ('runtime.cgocall', frames[0][1], None)   # printed is where it said that it goes, not where it went
        return [f for f in frames if f[0] != 'runtime.systemstack_switch']

    def wanted(self, case, stripped):
        go = self.go_frames(case)
        back = [f[0] for f in go].index('runtime.cgocallback') + 1
        known = ('crosscall2',) if stripped else self.INNER + self.OUTER
        c = [[(name if name in known else '??', None, None) for name in names] for names in (self.INNER, self.OUTER)]
        end = [f[0] for f in go].index('main.main') + 1
        return c[0] + go[:back] + c[1] + go[back:end]

    def shown(self, bt):
        frames = [f for f in stack(bt) if f[0] not in self.SWITCHES]
        first = next((i for i, f in enumerate(frames) if f[0] in ('overrun', '??')), 0)
        out = []
        for name, file, line in frames[first:]:
            name = re.sub(r'^_cgo_[0-9a-f]+_', '', name)
            is_c = name in self.INNER + self.OUTER + ['??']
            out.append((name, None, None) if is_c else (name, file, line))
        called = next((i for i, f in enumerate(out) if f[0] == 'runtime.cgocall'), None)
        if called is not None:
            out[called] = ('runtime.cgocall', out[called][1], None)
        end = next((i for i, f in enumerate(out) if f[0] == 'main.main'), len(out))
        return out[:end + 1]

    def check(self, case, gdb, program, stripped):
        with gocore.Stub(case.core, program, ['--sysroot=' + case.sysroot]) as stub:
            start = ['target remote ' + stub.gdb_address]
            _, (rows,) = gocore.ask_gdb(gdb, start, ['info threads'])
            # the thread has the C stack, the goroutine its own
            m = re.search(r'(?m)^[* ] (\d+) .*"M\d+ \((?:signal handler|C) of G1\)', rows)
            self.assertTrue(m, rows)
            if case.name.endswith('go1.24'):        # it passed the signal on, and the kernel saw another thread die
                self.assertRegex(rows, r'"M\d+ \(signal handler of G1\) \S+" \((crashed: \w+, )?caught SIGSEGV')
            self.assertRegex(rows, r'(?m)^  \d+ .*"G1 \w+ main.main" \(locked to thread \d+\) +(0x[0-9a-f]+ in )?runtime.cgocall')
            _, (bt,) = gocore.ask_gdb(gdb, start, [['thread ' + m[1], 'backtrace']])
            self.assertEqual(self.shown(bt), self.wanted(case, stripped), bt)

    def test_stack(self):
        for case in cases('^cgocrash-'):
            for gdb in gocore.gdbs():
                if not gocore.knows_arch(gdb, case.arch):
                    continue
                with tempfile.TemporaryDirectory() as tmp:
                    with self.subTest('%s %s' % (case, gdb)):
                        self.check(case, gdb, case.bin, False)
                    with self.subTest('%s %s stripped' % (case, gdb)):
                        self.check(case, gdb, strip(case.bin, os.path.join(tmp, 'program')), True)


    def test_monitor(self):
        for case in cases('^cgocrash-'):
            with self.subTest(str(case)), gocore.Stub(case.core, case.bin, ['--sysroot=' + case.sysroot]) as stub, \
                    gocore.Rsp(stub) as rsp:
                lines = monitor(rsp, 'goroutines 1').splitlines()
                frames = [re.match(r'#\d+ +(\S+) at (\S+):(\d+)', line) for line in lines]
                bt = ''.join('#0 %s () at %s:%s\n' % m.groups() for m in frames if m)
                self.assertEqual(self.shown(bt), self.wanted(case, False), lines)


class Locals(unittest.TestCase):
    """All variables of all frames: what gdb 13 dies of if a frame's pc and its inlined calls do not agree."""

    def test_full(self):
        for case in cases('^segv-go[0-9.]+$'):
            for gdb in gocore.gdbs():
                if not gocore.knows_arch(gdb, case.arch):
                    continue
                with tempfile.TemporaryDirectory() as tmp:
                    for program in (case.bin, strip(case.bin, os.path.join(tmp, 'program'))):
                        with self.subTest('%s %s %s' % (case, gdb, program)), \
                                gocore.Stub(case.core, program) as stub:
                            _, (bt,) = gocore.ask_gdb(gdb, ['target remote ' + stub.gdb_address],
                                                      [['thread 1', 'backtrace full']])
                            self.assertIn('main.main', bt)


if __name__ == '__main__':
    gocore.main()
