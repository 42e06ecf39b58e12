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

# Two names of one address, of which gdb takes another.
SAME_ADDRESS = {'__libc_start_main_impl': '__libc_start_main'}


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
        self.gdbs = gocore.gdbs()
        if not self.gdbs:
            self.skipTest('no gdb')

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def build(self, name):
        command = BUILDS[name].split()
        if not shutil.which(command[0]):
            self.skipTest(command[0] + ' is not installed')
        done = subprocess.run(command + ['-pthread', '-w', '-o', self.path(name)] + SOURCES, capture_output=True, text=True)
        if done.returncode:
            self.skipTest('%s: %s' % (BUILDS[name], done.stderr[-200:]))

    def die(self, name):
        """Let the program die in all ways under gdb, which writes a core of each."""
        script = ['set pagination off', 'set confirm off', 'set debuginfod enabled off', 'set width 0',
                  'handle SIGUSR1 SIGUSR2 SIGALRM nostop noprint pass', 'set startup-with-shell off', 'file ' + name]
        for n, way in enumerate(WAYS):
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

    def check_build(self, name):
        self.build(name)
        self.die(name)
        compared = 0
        ways = [n for n in range(len(WAYS)) if os.path.exists(self.path('core%d' % n))]
        for n, theirs in zip(ways, self.ask_gdb(name, ways)):
            with self.subTest(way=WAYS[n]):
                done = gocore.run_stub('snapshot', '--json', self.path('core%d' % n), self.path(name))
                self.assertEqual(done.returncode, 0, done.stderr)
                ours = frames_of(json.loads(done.stdout))
                self.assertEqual(sorted(ours), sorted(theirs))
                for tid, frames in theirs.items():
                    self.assertEqual(ours[tid], frames)
                    compared += len(frames)
        self.assertGreater(compared, 50)


def add_test(name):
    setattr(Native, 'test_' + name, lambda self: self.check_build(name))


for build in BUILDS:
    add_test(build)

if __name__ == '__main__':
    gocore.main()
