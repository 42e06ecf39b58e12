#!/usr/bin/env python3
"""Stacks of programs that are built here, in the ways that compilers have, against gdb's."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

SOURCES = [os.path.join(gocore.SOURCE, 'tests', 'cmd', 'native', name) for name in ('ways.c', 'other.c')]

BUILDS = {
    'O2': 'gcc -O2 -g',
    'Os': 'gcc -Os -g -fomit-frame-pointer -no-pie',
    'debug_frame': 'gcc -O2 -g -fno-asynchronous-unwind-tables',
    'lto': 'gcc -O3 -g -flto -static',
    'clang': 'clang -O2 -gdwarf-4 -gz=zlib',
}

# Direct calls (see call() of ways.c), and ways by name.
WAYS = ['- 1', '- 2', '- 3', '- 4', '- 5', '- 6', '- 7', '- 8', 'recursive', 'varying', 'in_qsort', 'call_null', 'aborts',
        'in_handler', 'in_nested_handlers', 'on_other_stack', 'interrupted', 'after_longjmp', 'thread_dies', 'main_dies',
        'by_pointer_elsewhere']

# Every build takes gdb several seconds, so that all of it is only done on request.
ALL = bool(os.environ.get('GOCORE_NATIVE'))
QUICK_WAYS = ['- 1', '- 5', '- 7', 'recursive', 'in_qsort', 'call_null', 'in_nested_handlers', 'interrupted']
QUICK_BUILDS = ['O2']

WITHOUT_TABLES = ' -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-exceptions'

# Two names of one address, of which gdb takes another.
SAME_ADDRESS = {'__libc_start_main_impl': '__libc_start_main'}


def names(frames):
    """Functions alone: without tables nothing is said of lines and jumps. Of libraries both know the same."""
    return [name for name, line in frames]


def frames_of_gdb(text):
    """{lwp: [(function, line)]}"""
    out, frames = {}, None
    for row in text.splitlines():
        heading = re.match(r'Thread .*\(?LWP (\d+)\)?', row)
        if heading:
            frames = out.setdefault(int(heading[1]), [])
        match = re.match(r'#\d+ +(?:0x[0-9a-f]+ in )?(<signal handler called>|\S+)', row)
        if match and frames is not None:
            line = re.search(r' at .*:(\d+)$', row)
            # of a part of a function gdb makes "f[cold]" and "f.part"
            name = re.sub(r'\[cold\]$|\.(cold|part|constprop|isra)(\.\d+)*$', '', match[1])
            frames.append((SAME_ADDRESS.get(name, name), int(line[1]) if line else None))
    return out


def frames_of(document):
    out = {}
    for thread in document['threads']:
        frames = out[thread['tid']] = []
        before = None
        for frame in thread['frames']:
            # of a function that jumped out of an inlined one gdb shows the inlined one alone
            hidden = before and before['how'] == 'tail-call' and before.get('inlined') and before['pc'] == frame['pc']
            before = frame
            if not hidden:
                name = re.sub(r'\.(cold|part|constprop|isra)(\.\d+)*$', '', frame.get('function', '??'))
                frames.append((SAME_ADDRESS.get(name, name), frame.get('line')))
    return out


class Native(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.ways = WAYS if ALL else QUICK_WAYS
        self.gdbs = gocore.gdbs()
        if not self.gdbs:
            self.skipTest('no gdb')

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def build(self, name, command):
        command = command.split()
        if not shutil.which(command[0]):
            self.skipTest(command[0] + ' is not installed')
        done = subprocess.run(command + ['-pthread', '-w', '-o', self.path(name)] + SOURCES, capture_output=True, text=True)
        if done.returncode:
            self.skipTest('%s: %s' % (command, done.stderr[-200:]))

    def die(self, name):
        """Let the program die in all ways under gdb, which writes a core of each: "core0", ..."""
        script = ['set pagination off', 'set confirm off', 'set debuginfod enabled off', 'set width 0',
                  'handle SIGUSR1 SIGUSR2 SIGALRM nostop noprint pass', 'set startup-with-shell off', 'file ' + name]
        for n, way in enumerate(self.ways):
            script += ['run ' + way, 'generate-core-file core%d' % n]
        subprocess.run([self.gdbs[0], '-nx', '-batch'] + [w for line in script for w in ('-ex', line)],
                       cwd=self.dir.name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=300 * gocore.SLOW)
        if not os.path.exists(self.path('core0')):
            self.skipTest('gdb cannot run programs here')

    def ask_gdb(self, name, ways):
        """What it shows of each core: one gdb for all, which reads debug information once."""
        script = ['set print frame-arguments none', 'set backtrace past-main on', 'file ' + name]
        for n in ways:
            script += ['echo @@@\\n', 'core-file core%d' % n, 'thread apply all bt']
        done = subprocess.run([self.gdbs[0], '-nx', '-batch', '-iex', 'set debuginfod enabled off', '-iex', 'set width 0'] +
                              [w for line in script for w in ('-ex', line)], cwd=self.dir.name, capture_output=True,
                              text=True, errors='replace', timeout=300 * gocore.SLOW)
        return [frames_of_gdb(text) for text in done.stdout.split('@@@\n')[1:]]

    def cores(self):
        return [n for n in range(len(self.ways)) if os.path.exists(self.path('core%d' % n))]

    def ours(self, n, name):
        done = gocore.run_stub('snapshot', '--json', self.path('core%d' % n), self.path(name))
        self.assertEqual(done.returncode, 0, done.stderr)
        return frames_of(json.loads(done.stdout))

    def check_build(self, name):
        self.build(name, BUILDS[name])
        self.die(name)
        compared = 0
        for n, theirs in zip(self.cores(), self.ask_gdb(name, self.cores())):
            with self.subTest(way=self.ways[n]):
                ours = self.ours(n, name)
                self.assertEqual(sorted(ours), sorted(theirs))
                for tid, frames in theirs.items():
                    self.assertEqual(ours[tid], frames)
                    compared += len(frames)
        self.assertGreater(compared, 50)

    def check_without_tables(self, command):
        """The same code with and without tables has the same stacks: gdb's by the tables, ours without."""
        self.ways = [way for way in self.ways if way not in ('thread_dies', 'main_dies')]
        self.build('with', command)
        self.build('without', command + WITHOUT_TABLES)
        self.die('with')
        truth = dict(zip(self.cores(), self.ask_gdb('with', self.cores())))
        for n in truth:
            os.remove(self.path('core%d' % n))
        self.die('without')
        self.assertEqual(self.cores(), sorted(truth))
        compared = 0
        for n, theirs in truth.items():
            with self.subTest(way=self.ways[n]):
                self.assertEqual([names(frames) for frames in self.ours(n, 'without').values()],
                                 [names(frames) for frames in theirs.values()])
                compared += 1
        self.assertGreater(compared, 5)

    def test_without_tables(self):
        self.check_without_tables('gcc -O2')

    @unittest.skipUnless(ALL, 'only with GOCORE_NATIVE=1')
    def test_without_tables_by_others(self):
        for command in ('gcc -O0', 'clang -O2', 'gcc -O2 -fno-omit-frame-pointer'):
            with self.subTest(command=command):
                self.check_without_tables(command)


def add_test(name):
    setattr(Native, 'test_' + name, unittest.skipUnless(ALL or name in QUICK_BUILDS, 'only with GOCORE_NATIVE=1')(
        lambda self: self.check_build(name)))


for build in BUILDS:
    add_test(build)

if __name__ == '__main__':
    gocore.main()
