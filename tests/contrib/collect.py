#!/usr/bin/env python3
"""Where cores are made: the handler for kernel.core_pattern, and the folder of systemd-coredump.

GOCORE_CORE_PATTERN=1 (root, a machine of one's own) sets kernel.core_pattern for a moment and lets a program crash."""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

CONTRIB = os.path.join(gocore.SOURCE, 'contrib')
COLLECT = os.path.join(CONTRIB, 'core_pattern', 'gocore-collect')
TIME = 1790000000


def has_attributes(folder):
    path = os.path.join(folder, 'attributes')
    try:
        with open(path, 'w'):
            os.setxattr(path, 'user.test', b'1')
        return True
    except OSError:
        return False
    finally:
        os.unlink(path)


def lines_of(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


class Collect(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory(prefix='gcl')
        self.addCleanup(self.tmp.cleanup)
        self.case = gocore.Case('aarch64', 'threads')
        self.dir = os.path.join(self.tmp.name, 'cores')
        self.stub = os.path.join(self.tmp.name, 'stub')
        with open(self.stub, 'w') as f:
            f.write('#!/bin/sh\nexec %s "$@"\n' % ' '.join(gocore.STUB))
        os.chmod(self.stub, 0o755)
        self.env = {**os.environ, 'GOCORE_DIR': self.dir, 'GOCORE_STUB': self.stub}
        if os.path.exists('/etc/default/gocore-collect'):
            self.skipTest('this machine has settings of its own for gocore-collect')

    def collect(self, pid, time_of_death=TIME, exe='!srv!my threads', core=None, **env):
        with open(core or self.case.core, 'rb') as f:
            return subprocess.run([COLLECT, str(pid), '11', str(time_of_death), 'node-7', *exe.split()], stdin=f, env={**self.env, **env},
                                  capture_output=True, text=True, check=False)

    def need_zstd(self):
        for program in ('zstd', 'flock'):
            if not shutil.which(program):
                self.skipTest('%s is not installed' % program)

    def test_core_pattern_handler(self):
        self.need_zstd()
        done = self.collect(111)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ''))
        name = 'core.my_threads.111.%d.zst' % TIME
        self.assertEqual(sorted(os.listdir(self.dir)), [name, 'cores.ndjson', 'lock'])
        self.assertEqual(os.stat(self.dir).st_mode & 0o77, 0)
        line, = lines_of(os.path.join(self.dir, 'cores.ndjson'))
        self.assertEqual((line['core'], line['pid'], line['signal']['name']), (os.path.join(self.dir, name), min(self.case.expect.tids), 'SIGSEGV'))
        if has_attributes(self.dir) and shutil.which('setfattr'):
            self.assertEqual((line['host'], line['time']), ('node-7', time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(TIME))))
            self.assertEqual(os.getxattr(os.path.join(self.dir, name), 'user.coredump.exe'), b'/srv/my threads')

    def test_only_so_many_are_kept(self):
        self.need_zstd()
        for i in range(4):
            self.assertEqual(self.collect(200 + i, TIME + i, GOCORE_KEEP='2').returncode, 0)
            os.utime(os.path.join(self.dir, 'core.my_threads.%d.%d.zst' % (200 + i, TIME + i)), (TIME + i, TIME + i))
        self.assertEqual(len(glob.glob(self.dir + '/core.*.zst')), 2)
        self.assertEqual([line['core'].split('.')[-3] for line in lines_of(os.path.join(self.dir, 'cores.ndjson'))], ['200', '201', '202', '203'])

    def test_rubbish_and_hostile_names(self):
        self.need_zstd()
        rubbish = os.path.join(self.tmp.name, 'rubbish')
        with open(rubbish, 'wb') as f:
            f.write(b'no core')
        done = self.collect(5, exe="!x!$(touch pwned);'a b", core=rubbish)
        self.assertEqual(done.returncode, 0, done.stderr)
        line, = lines_of(os.path.join(self.dir, 'cores.ndjson'))
        self.assertIn('error', line)
        self.assertEqual(glob.glob(self.tmp.name + '/**/pwned', recursive=True), [])

    def test_for_real(self):
        self.need_zstd()
        pattern = '/proc/sys/kernel/core_pattern'
        if os.environ.get('GOCORE_CORE_PATTERN') != '1':
            self.skipTest('GOCORE_CORE_PATTERN=1 lets this test set kernel.core_pattern')
        handler = os.path.join(self.tmp.name, 'handler')
        with open(handler, 'w') as f:
            f.write('#!/bin/sh\nexport GOCORE_DIR=%s GOCORE_STUB=%s\nexec %s "$@"\n' % (self.dir, self.stub, COLLECT))
        os.chmod(handler, 0o755)
        with open(pattern) as f:
            before = f.read()
        try:
            with open(pattern, 'w') as f:
                f.write('|%s %%P %%s %%t %%h %%E' % handler)
            victim = subprocess.Popen(['sleep', '100'])
            victim.send_signal(signal.SIGQUIT)
            victim.wait()
        finally:
            with open(pattern, 'w') as f:
                f.write(before)
        lines = os.path.join(self.dir, 'cores.ndjson')
        for _ in range(100):
            if os.path.exists(lines) and lines_of(lines):
                break
            time.sleep(0.1)
        line, = lines_of(lines)
        self.assertEqual((line['pid'], line['signal']['name']), (victim.pid, 'SIGQUIT'))

    def test_folder_of_systemd_coredump(self):
        folder = os.path.join(self.tmp.name, 'coredump')
        os.mkdir(folder)
        core = os.path.join(folder, 'core.threads.1000.c0ffee.111.%d000000.zst' % TIME)
        shutil.copy(os.path.join(self.case.source, 'core.zst'), core)
        with_attributes = has_attributes(folder)
        if with_attributes:
            for key, value in {'hostname': 'web-3', 'unit': 'shop.service', 'timestamp': '%d000000' % TIME, 'comm': 'x'}.items():
                os.setxattr(core, 'user.coredump.' + key, value.encode())
        out = subprocess.run([*gocore.STUB, 'triage', folder], capture_output=True, text=True, check=True).stdout
        line = json.loads(out)
        self.assertEqual(line['signal']['name'], 'SIGSEGV')
        if with_attributes:
            self.assertEqual((line['host'], line['unit'], line['time']), ('web-3', 'shop.service', time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(TIME))))
            os.setxattr(core, 'user.coredump.timestamp', b'rubbish')
            os.setxattr(core, 'user.coredump.hostname', b'a\0b')
            again = json.loads(subprocess.run([*gocore.STUB, 'triage', folder], capture_output=True, text=True, check=True).stdout)
            self.assertNotIn('host', again)
            self.assertEqual(again['time'], time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(os.stat(core).st_mtime)))

    def test_units(self):
        if not shutil.which('systemd-analyze'):
            self.skipTest('systemd-analyze is not installed')
        units = sorted(glob.glob(os.path.join(CONTRIB, 'systemd', 'gocore-triage.*')))
        self.assertEqual(len(units), 2)
        done = subprocess.run(['systemd-analyze', 'verify', '--man=no', *units], capture_output=True, text=True, check=False)
        complaints = [line for line in done.stderr.splitlines() if 'gocore' in line and 'is not executable' not in line]
        self.assertEqual(complaints, [])


if __name__ == '__main__':
    unittest.main(verbosity=2)
