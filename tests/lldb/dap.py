#!/usr/bin/env python3
"""lldb's debug adapter attached to the stub, as editors start it: questions, and what a dead process cannot do.

LLDB_DAPS: the adapters to test with (default: lldb-dap or lldb-vscode, as Debian names them, from PATH)
"""
import contextlib
import glob
import os
import re
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import dap
import editor
import gocore


def adapters():
    named = [n for n in re.split(r'[:\s]+', os.environ.get('LLDB_DAPS', '')) if n]
    installed = sorted(glob.glob('/usr/bin/lldb-dap*') + glob.glob('/usr/bin/lldb-vscode*'))
    found = [p for p in (shutil.which(n) for n in named or installed) if p]
    if not found:
        raise unittest.SkipTest('no lldb-dap or lldb-vscode')
    return found


class Lldb(unittest.TestCase, editor.Session):
    def each(self, check):
        for adapter in adapters():
            for arch in gocore.ARCHES:
                with self.subTest(adapter=adapter, arch=arch):
                    case = gocore.Case(arch, 'threads')
                    # gdb-remote takes no path of a socket
                    with case.serve(listen='127.0.0.1:0') as stub, dap.Adapter([adapter]) as client:
                        stopped = client.start(
                            'attach', 'lldb-dap', stopOnEntry=True, attachCommands=[
                                'platform select --sysroot %s remote-linux' % case.sysroot,
                                'target create ' + case.bin, 'gdb-remote ' + stub.gdb_address])
                        check(case, stub, client, stopped)
                        with contextlib.suppress(EOFError):     # lldb-vscode 14 sometimes leaves without an answer
                            client.ask('disconnect', terminateDebuggee=False)
                        self.assertTrue(client.ended())
                        self.assertTrue(stub.alive())

    def test_questions(self):
        def check(case, stub, client, stopped):
            self.assertEqual(stopped['reason'], 'exception')
            self.everything(case, client, stopped)
            self.assertEqual({t['id'] for t in client.ask('threads')['threads']}, set(case.expect.tids))
        self.each(check)

    def test_running_and_writing_is_refused(self):
        def check(case, stub, client, stopped):
            self.facts(case)
            for said in self.refused(client, stopped['threadId']):
                self.assertIn('core file, it cannot be run', said)
            self.unwritable(client)
        self.each(check)


if __name__ == '__main__':
    gocore.main()
