#!/usr/bin/env python3
"""No file at hand, but a debuginfod server that has them: program and libraries come from there.

The server is the real one of elfutils, on loopback, over the files of the fixtures.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Debuginfod(unittest.TestCase):
    def setUp(self):
        if not shutil.which('debuginfod'):
            self.skipTest('debuginfod is not installed')
        self.case = gocore.Case('aarch64', 'plugin')
        self.tmp = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.tmp)

    def environment(self, url):
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith('_proxy')}
        environment.update(DEBUGINFOD_URLS=url, DEBUGINFOD_CACHE_PATH=os.path.join(self.tmp, 'cache'))
        return environment

    def serve_files(self):
        """Start the server; @return its URL once it knows the program."""
        files = os.path.join(self.tmp, 'files')
        os.mkdir(files)
        shutil.copy(self.case.bin, files)
        shutil.copy(self.case.file('libplugin.so'), files)
        shutil.copytree(os.path.join(self.case.sysroot, 'lib'), os.path.join(files, 'lib'), symlinks=True)
        port = free_port()
        server = subprocess.Popen(['debuginfod', '-d', ':memory:', '-p', str(port), '-F', files],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  env=self.environment(''))
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        url = 'http://127.0.0.1:%d' % port
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ready():
            try:
                with opener.open('%s/buildid/%s/executable' % (url, self.case.expect.head['build_id']), timeout=5):
                    return True
            except (urllib.error.URLError, OSError):
                return False
        self.assertTrue(gocore.eventually(ready, 60), 'debuginfod does not serve')
        return url

    def test_all_from_the_server(self):
        url = self.serve_files()
        with gocore.Stub(self.case.core, None, env=self.environment(url)) as stub:
            print(stub.stderr)
            self.assertRegex(stub.stderr, r'images +\d+ found, 0 missing')
            for gdb in gocore.gdbs():
                if gocore.knows_arch(gdb, 'aarch64'):
                    _, (bt,) = gocore.ask_gdb(gdb, ['target remote ' + stub.gdb_address], ['backtrace'])
                    for function in ('plugin_crash', 'plugin_step', 'plugin_entry', 'main'):
                        self.assertIn(function, bt)

    def test_server_down(self):
        """A server that cannot be reached is said, and the core is served all the same."""
        url = 'http://127.0.0.1:%d' % free_port()
        with gocore.Stub(self.case.core, None, env=self.environment(url)) as stub:
            self.assertRegex(stub.stderr, r'program .*not found')
            with gocore.Rsp(stub) as client:
                self.assertTrue(client.ask('?').startswith(b'T'))

    def test_only_if_asked_for(self):
        with gocore.Stub(self.case.core, None, env=self.environment('')) as stub:
            self.assertRegex(stub.stderr, r'program .*not found')

    def test_triage(self):
        """The processes that read cores cannot open connections: another one asks for them."""
        done = gocore.run_stub('triage', self.case.core, '--debug-dir=' + self.tmp, timeout=60,
                               env=self.environment(self.serve_files()))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)['signature']['top'],
                         'plugin_crash < plugin_step < plugin_entry < main')


if __name__ == '__main__':
    gocore.main()
