#!/usr/bin/env python3
"""goroutines on programs that die here and now, built with the Go that is installed: why they died,
and the stack of the goroutine that did, must be what the runtime printed. GO is another Go to take.
"""
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import gocore
from printed import tracebacks

GO = os.environ.get('GO', 'go')
PROGRAM = os.path.join(HERE, 'crashes.go')


def reason(text):
    """What comes before the first goroutine, the runtime's own stack too; without arguments."""
    head = re.split(r'^goroutine \d+', text, maxsplit=1, flags=re.M)[0]
    head = re.sub(r'^runtime: (?!goroutine stack exceeds|sp=).*\n', '', head, flags=re.M)
    return re.sub(r'^(\S+?)\(.*\)\n(?=\t/)', r'\1(...)\n', head, flags=re.M)


@unittest.skipUnless(shutil.which(GO), GO + ' is not installed')
class Crashes(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        with open('/proc/sys/kernel/core_pattern') as f:
            if f.read().strip() != 'core':
                raise unittest.SkipTest('/proc/sys/kernel/core_pattern is not "core"')
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        if hard == 0:
            raise unittest.SkipTest('no cores are dumped here (ulimit -Hc)')
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_CORE, (soft, hard))
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.program = os.path.join(cls.folder, 'crashes')
        env = dict(os.environ, HOME=cls.folder, GOFLAGS='-mod=mod', GO111MODULE='off')
        done = subprocess.run([GO, 'build', '-o', cls.program, PROGRAM], env=env, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise unittest.SkipTest('go build: ' + done.stderr)

    def crash(self, program, way):
        """What it printed, and what is made of its core."""
        core = os.path.join(self.folder, 'core')
        if os.path.exists(core):
            os.unlink(core)
        died = subprocess.run([program, way], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True, timeout=60 * gocore.SLOW, env=dict(os.environ, GOTRACEBACK='crash'))
        if not os.path.exists(core):
            self.skipTest('no core was dumped')
        done = gocore.run_stub('goroutines', core, program, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotRegex(done.stderr, gocore.SANITIZER_REPORT)
        return died.stderr, done.stdout

    def test_as_printed(self):
        with open(PROGRAM) as f:
            ways = re.findall(r'^\tcase "(\w+)":', f.read(), flags=re.M)
        self.assertGreater(len(ways), 50)
        for way in ways:
            with self.subTest(way):
                printed, ours = self.crash(self.program, way)
                self.assertEqual(reason(ours), reason(printed))
                want = {g.goid: g for g in tracebacks(printed)}
                got = {g.goid: g for g in tracebacks(ours)}
                first = next(iter(want))
                self.assertEqual(next(iter(got)), first)
                frames = got[first].frames[len(got[first].frames) - len(want[first].frames):]
                self.assertEqual(frames, want[first].frames)

    def test_library_of_c_program(self):
        """What only the library tells: the version, and by it the headings and the layout."""
        library, host = os.path.join(self.folder, 'lib.so'), os.path.join(self.folder, 'host')
        source = os.path.join(self.folder, 'lib.go')
        with open(source, 'w') as f:
            f.write('package main\n\nimport "C"\n\n//export Die\nfunc Die() { var p *int; *p = 1 }\n\nfunc main() {}\n')
        env = dict(os.environ, HOME=self.folder, GO111MODULE='off', CGO_ENABLED='1')
        for command in ([GO, 'build', '-buildmode=c-shared', '-o', library, source],
                        ['gcc', '-x', 'c', '-', '-x', 'none', '-o', host, library]):
            try:
                subprocess.run(command, env=env, input='extern void Die(void); int main() { Die(); }', text=True,
                               check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as why:
                self.skipTest(str(why))
        printed, ours = self.crash(host, 'die')
        self.assertEqual(reason(ours), reason(printed))
        want = {g.goid: g for g in tracebacks(printed)}
        got = {g.goid: g for g in tracebacks(ours)}
        first = next(iter(want))
        self.assertEqual(got[first].frames[-len(want[first].frames):], want[first].frames)
        self.assertEqual(re.findall('^goroutine .*', ours, flags=re.M)[0],
                         re.findall('^goroutine .*', printed, flags=re.M)[0])
        document = json.loads(gocore.run_stub('goroutines', '--json', os.path.join(self.folder, 'core'), host).stdout)
        self.assertEqual(document['problems'], [])
        self.assertRegex(document['go']['version'], r'^go1\.')


if __name__ == '__main__':
    gocore.main()
