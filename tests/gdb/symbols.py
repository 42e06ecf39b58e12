#!/usr/bin/env python3
"""gocore-stub symbols: gdb's own core target, with a stripped program and the file made for it, shows
the functions and lines that the runtime printed when it died (expect.txt, stderr), and the stack of
every OS thread down to its outermost function; lldb shows their names and lines.

GOCORE_UNPACKED names a folder ARCH/CASE/{core,bin,expect.txt} to test as well as the bundled cores.
LLDBS: the lldbs to test with, separated by spaces or colons (default: what PATH has).
"""
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import gocore
import printed

FRAME = re.compile(r'#\d+ +(?:0x[0-9a-f]+ in )?(.*?) \(.*?\)(?: (?:at|from) (.*))?$')
MARKS = ('<signal handler called>', '<stack switch>')
# Where the stacks of threads begin, as the runtime's own traceback has it; mcall ends it, as nothing returns there.
OUTERMOST = re.compile(r'runtime\.(goexit|mstart|mcall|rt0_go|_rt0_amd64_linux)$')


def is_tested(case):
    return re.fullmatch(r'(panic|segv|hello)-go1\.\d+', case.name)


def unsymbolized(program, to, bare=False):
    """A copy without symbols and debug information, or (@bare) without any section headers."""
    with open(program, 'rb') as f:
        data = bytearray(f.read())
    shoff, = struct.unpack_from('<Q', data, 40)
    shnum, = struct.unpack_from('<H', data, 60)
    for i in range(shnum):
        at = shoff + 64 * i
        kind, flags, _, offset, size = struct.unpack_from('<IQQQQ', data, at + 4)
        names, = struct.unpack_from('<H', data, 62)
        if kind not in (0, 8) and not flags & 2 and i != names:  # neither empty nor loaded
            data[offset:offset + size] = bytes(size)
            data[at:at + 64] = bytes(64)
    if bare:
        struct.pack_into('<Q', data, 40, 0)
        struct.pack_into('<HH', data, 60, 0, 0)
    with open(to, 'wb') as f:
        f.write(data)
    return to


def shortened(name):
    """As the runtime prints it: main.(*Stack[go.shape.int]).Peek -> main.(*Stack[...]).Peek"""
    if name == 'runtime.gopanic':
        return 'panic'
    start, end = name.find('['), name.rfind(']')
    return name[:start] + '[...]' + name[end + 1:] if 0 <= start < end else name


def frames_of(text):
    """[(function, file, line)] of a backtrace, without those that only mark something."""
    out = []
    for line in text.splitlines():
        if any(mark in line for mark in MARKS):
            continue
        m = FRAME.match(line)
        if m:
            at = re.fullmatch(r'(.*):(\d+)', m[2] or '')
            out.append((shortened(m[1]), at and at[1], at and int(at[2])))
    return out


class Stacks:
    """Backtraces of all threads from gdb's core target, by kernel thread id."""

    def __init__(self, gdb, case, start):
        begin = ['set sysroot ' + case.sysroot, 'set backtrace past-main on', *start]
        self.head, (self.text,) = gocore.ask_gdb(gdb, begin, ['thread apply all backtrace'], 300)
        self.frames, self.blocks = {}, {}
        for block in re.split(r'^(?=Thread \d+ \()', self.text or '', flags=re.M):
            m = re.match(r'Thread \d+ \((?:Thread \S+ \()?(?:LWP |Thread \d+\.)(\d+)', block)
            if m:
                self.blocks[int(m[1])] = block
                self.frames[int(m[1])] = frames_of(block)


def make(*args):
    run = gocore.run_stub('symbols', *args, timeout=30)
    if run.returncode != 0:
        raise AssertionError('symbols %s: %s' % (' '.join(args), run.stderr))
    if gocore.SANITIZER_REPORT.search(run.stderr):
        raise AssertionError(run.stderr)
    return run


class Base(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix='gcs')
        self.addCleanup(shutil.rmtree, self.tmp)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def cases(self, wanted=is_tested):
        found = [case for case in printed.cases() if wanted(case)]
        if not found:
            self.skipTest('there is no such core')
        return found

    def each(self, check, wanted=is_tested):
        """check(case, gdb, stripped program)"""
        ran = False
        for case in self.cases(wanted):
            program = unsymbolized(case.bin, self.path('program'))
            for gdb in gocore.gdbs():
                if gocore.knows_arch(gdb, case.arch):
                    ran = True
                    with self.subTest('%s %s' % (case, os.path.basename(gdb))):
                        check(case, gdb, program)
        if not ran:
            self.skipTest('no gdb knows these architectures')

    def running(self, case):
        """What the runtime printed of the goroutine that died."""
        first = next(g for g in printed.tracebacks(case.expect.sections['stderr']))
        return [(f.function, f.file, f.line) for f in first.frames]

    def check(self, case, stacks):
        crashed = case.expect.tids[0]
        self.assertEqual(sorted(stacks.frames), sorted(case.expect.tids), stacks.head)
        for tid, frames in stacks.frames.items():
            block = stacks.blocks[tid]
            self.assertNotIn('??', block)
            self.assertNotIn('Backtrace stopped', block)
            self.assertTrue(frames and OUTERMOST.search(frames[-1][0]), block)
            self.assertFalse([f for f in frames if f[2] is None], block)
        if not case.name.startswith('hello'):   # it died of a signal from outside, wherever it was
            want = self.running(case)
            self.assertEqual(stacks.frames[crashed][-len(want):], want)


class Backtraces(Base):
    def test_combined(self):
        def check(case, gdb, program):
            make(program, '--combined', '-o', self.path('combined'))
            self.check(case, Stacks(gdb, case, ['file ' + self.path('combined'), 'core ' + case.core]))

        self.each(check)

    def test_beside_the_program(self):
        def check(case, gdb, program):
            make(program, '-o', self.path('symbols'))
            self.check(case, Stacks(gdb, case, ['file ' + program, 'symbol-file ' + self.path('symbols'),
                                                'core ' + case.core]))

        self.each(check, lambda case: re.match('segv-go1.*[46]$', case.name))

    def test_no_section_headers(self):
        def check(case, gdb, _program):
            bare = unsymbolized(case.bin, self.path('bare'), bare=True)
            make(bare, '--combined', '-o', self.path('combined'))
            self.check(case, Stacks(gdb, case, ['file ' + self.path('combined'), 'core ' + case.core]))

        self.each(check, lambda case: re.match('segv-go1.*[46]$', case.name))

    def test_of_a_core(self):
        """The program is found by way of the core."""
        def check(case, gdb, program):
            make(case.core, program, '-o', self.path('of-core'))
            make(program, '-o', self.path('of-program'))
            with open(self.path('of-core'), 'rb') as a, open(self.path('of-program'), 'rb') as b:
                self.assertEqual(a.read(), b.read())

        self.each(check, lambda case: re.match('segv-go1.*6$', case.name))

    def test_memory_alone(self):
        """Cores of the emulator hold all of the program's memory."""
        def check(case, gdb, program):
            make(case.core, '-o', self.path('symbols'))
            stacks = Stacks(gdb, case, ['file ' + program, 'symbol-file ' + self.path('symbols'),
                                        'core ' + case.core])
            want = self.running(case)
            self.assertIn(want, [frames[-len(want):] for frames in stacks.frames.values()], stacks.text)

        self.each(check, lambda case: re.match('segv.*qemu-user', case.name))

    def test_served(self):
        """The combined file in the place of the program."""
        def check(case, gdb, program):
            make(program, '--combined', '-o', self.path('combined'))
            with gocore.Stub(case.core, self.path('combined'),
                             ['--sysroot=' + case.sysroot, '--threads=os']) as stub:
                self.check(case, Stacks(gdb, case, ['set sysroot target:', 'target remote ' + stub.gdb_address]))

        self.each(check, lambda case: re.match('segv-go1.*[46]$', case.name))

    def test_cgo(self):
        """Through C and back, as the runtime's traceback has it: without the C frames between Go ones."""
        def check(case, gdb, program):
            make(program, '--combined', '-o', self.path('combined'))
            stacks = Stacks(gdb, case, ['file ' + self.path('combined'), 'core ' + case.core])
            want = [f for f in self.running(case) if not f[0].startswith('runtime.')]
            got = [[f for f in frames if f[0].startswith(('main.', '_cgoexp_'))]
                   for frames in stacks.frames.values()]
            self.assertIn(want, got, stacks.text)
            self.assertRegex(stacks.text, r'in \?\? \(\)\n(.*\n)*.*<stack switch>.*\n.* runtime\.asmcgocall ')

        self.each(check, lambda case: re.fullmatch(r'cgocrash-go1\.\d+', case.name))


class Sources(Base):
    def test_lines_and_breakpoints(self):
        def check(case, gdb, program):
            make(program, '-o', self.path('symbols'))
            _, (line, where, info) = gocore.ask_gdb(
                gdb, ['file ' + self.path('symbols')],
                ['info line main.main', 'break main.(*summer).Walk', 'info functions ^main.visit$'])
            want = {f: (file, number) for f, file, number in self.running(case)}
            file = want['main.main'][0]
            self.assertRegex(line, r'Line \d+ of "%s" starts at address 0x[0-9a-f]+ <main.main>' % re.escape(file))
            self.assertRegex(where, r'Breakpoint 1 at 0x[0-9a-f]+: file %s, line \d+\.' % re.escape(file))
            self.assertIn('main.visit', info)

        self.each(check, lambda case: re.match('segv-go1.*[46]$', case.name))


class Lldb(Base):
    def lldbs(self):
        named = [g for g in re.split(r'[:\s]+', os.environ.get('LLDBS', '')) if g]
        found = [p for p in (shutil.which(g) for g in named or ['lldb']) if p]
        if not found:
            self.skipTest('no lldb')
        return found

    def test_names_and_lines(self):
        for case in self.cases(lambda case: re.match('segv-go1.*[46]$', case.name)):
            program = unsymbolized(case.bin, self.path('program'))
            make(program, '--combined', '-o', self.path('combined'))
            for lldb in self.lldbs():
                with self.subTest('%s %s' % (case, lldb)):
                    self.check_lldb(case, lldb)

    def check_lldb(self, case, lldb):
        """
        Each function that the runtime printed is found at its address. (lldb's unwinder is its own
        affair: 19 and 21 show these stacks whole, 14 stops at the signal frame of aarch64.)
        """
        first = next(g for g in printed.tracebacks(case.expect.sections['stderr']))
        frames = [f for f in first.frames if f.pc]
        commands = ['target create ' + self.path('combined')]
        # a return address belongs to the call before it
        commands += ['image lookup -v -a 0x%x' % (int(f.pc, 16) - (0 if i and frames[i - 1].function
                                                                     == 'runtime.sigpanic' else 1))
                     for i, f in enumerate(frames)]
        args = [lldb, '--no-lldbinit', '-b']
        for command in commands:
            args += ['-o', command]
        out = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors='replace', timeout=60 * gocore.SLOW, check=False).stdout
        answers = re.split(r'\(lldb\) image lookup.*\n', out)[1:]
        self.assertEqual(len(answers), len(frames), out)
        for f, answer in zip(frames, answers):
            name = 'runtime.gopanic' if f.function == 'panic' else f.function
            self.assertIn('`' + name, answer)
            self.assertRegex(answer, r'%s:%d\b' % (re.escape(os.path.basename(f.file)), f.line))


class Files(Base):
    def one(self):
        return self.cases()[0]

    def test_refused(self):
        case = self.one()
        program = unsymbolized(case.bin, self.path('program'))
        out = self.path('out')
        with open(self.path('text'), 'w') as f:
            f.write('hello\n')
        for args, words in [
                ([self.path('text'), '-o', out], 'is a text file'),
                ([sys.executable, '-o', out], 'no Go code'),
                ([program, '-o', program], 'is the input: it is not overwritten'),
                ([case.core, program, '-o', program], 'is the input: it is not overwritten'),
                ([program, '-o', self.path('no/such/folder')], 'No such file'),
                ([program, program, '-o', out], 'is a program, not a core')]:
            with self.subTest(words):
                run = gocore.run_stub('symbols', *args)
                self.assertEqual(run.returncode, 1, run.stderr)
                self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
                self.assertIn(words, run.stderr)
                self.assertFalse(os.path.exists(out))
        self.assertEqual(gocore.run_stub('symbols', program).returncode, 2)
        self.assertEqual(gocore.run_stub('symbols', '-o', out).returncode, 2)
        self.assertEqual([n for n in os.listdir(self.tmp) if n not in ('program', 'text')], [])

    def test_combined_keeps_the_program(self):
        case = self.one()
        program = unsymbolized(case.bin, self.path('program'))
        make(program, '--combined', '-o', self.path('combined'))
        with open(program, 'rb') as a, open(self.path('combined'), 'rb') as b:
            before, after = a.read(), b.read()
        self.assertEqual(before[:40], after[:40])
        self.assertEqual(before[64:], after[64:len(before)])
        self.assertTrue(os.stat(self.path('combined')).st_mode & stat.S_IXUSR)

    def test_with_symbols_and_debug_info(self):
        """A program that has its own keeps them; only the frames are better."""
        def check(case, gdb, _program):
            make(case.bin, '--combined', '-o', self.path('combined'))
            stacks = Stacks(gdb, case, ['file ' + self.path('combined'), 'core ' + case.core])
            crashed = stacks.blocks[case.expect.tids[0]]
            self.assertRegex(crashed, r'main.main \(')
            self.assertRegex(crashed, r'Walk \(s=0x')      # arguments come from the program's own DWARF

        self.each(check, lambda case: re.match('segv-go1.*6$', case.name))

    def test_sound(self):
        """What binutils, elfutils and LLVM have to say, if they are there."""
        case = self.one()
        program = unsymbolized(case.bin, self.path('program'))
        ran = False
        for options in [[], ['--combined']]:
            make(program, '-o', self.path('out'), *options)
            for tool in [['readelf', '-W', '-a', '--debug-dump=info,abbrev,frames,decodedline,Ranges'],
                         ['llvm-dwarfdump', '--verify'], ['eu-elflint', '--gnu-ld', '-d']]:
                if not shutil.which(tool[0]):
                    continue
                ran = True
                run = subprocess.run([*tool, self.path('out')], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     text=True, errors='replace', check=False)
                said = run.stderr if tool[0] == 'readelf' else run.stdout
                bad = [line for line in said.splitlines()
                       if re.search(r'(?i)warning|error(?!s|")|section|header', line) and
                       not re.search(r"note type 4 with owner name 'Go'|: unknown program header|^Verifying|No errors",
                                     line)]
                self.assertEqual(bad, [], tool)
        if not ran:
            self.skipTest('no tools')

    def test_fast(self):
        case = self.one()
        begin = time.monotonic()
        make(case.bin, '-o', self.path('out'))
        self.assertLess(time.monotonic() - begin, 1 * gocore.SLOW)


if __name__ == '__main__':
    gocore.main()
