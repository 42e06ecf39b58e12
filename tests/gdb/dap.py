#!/usr/bin/env python3
"""gdb as a debug adapter (`gdb -i dap`, gdb 14 and later) attached to the stub, as editors start it: with the
program and without, questions and what a dead process cannot do."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import dap
import editor
import gocore


def adapters():
    """The gdbs that are one, or the test is skipped."""
    found = []
    for gdb in gocore.gdbs():
        out = subprocess.run([gdb, '-nx', '-q', '-i', 'dap'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, timeout=60 * gocore.SLOW)
        if out.returncode == 0:
            found.append(gdb)
        else:
            print('  %s is no debug adapter: %s' % (gdb, out.stdout.strip()))
    if not found:
        raise unittest.SkipTest('no gdb that knows `-i dap` (gdb 14 does)')
    return found


class Gdb(unittest.TestCase, editor.Session):
    def each(self, check):
        for gdb in adapters():
            for arch in gocore.ARCHES:
                if gocore.knows_arch(gdb, arch):
                    with self.subTest(gdb=gdb, arch=arch):
                        case = gocore.Case(arch, 'threads')
                        with case.serve() as stub:
                            check(gdb, case, stub)

    def attach(self, gdb, stub, **arguments):
        client = dap.Adapter([gdb, '-nx', '-q', '-i', 'dap'])
        try:
            return client, client.start('attach', 'gdb', target=stub.gdb_address, **arguments)
        except BaseException:
            client.close()
            raise

    def leave(self, client, stub):
        client.ask('disconnect', terminateDebuggee=False)
        self.assertTrue(client.ended())
        self.assertTrue(stub.alive())

    def test_questions(self):
        """Twice, the second time with no program on this side."""
        def check(gdb, case, stub):
            for arguments in ({'program': case.bin}, {}):
                client, stopped = self.attach(gdb, stub, **arguments)
                with client:
                    self.assertEqual(stopped['reason'], 'attach')
                    self.everything(case, client, stopped)
                    names = {t['id']: t.get('name') for t in client.ask('threads')['threads']}
                    self.assertEqual(names[stopped['threadId']], 'crashed: SIGSEGV')
                    said = client.ask('evaluate', expression='monitor info', context='repl')['result']
                    self.assertIn(case.expect.head['build_id'][:8], said)
                    self.leave(client, stub)
        self.each(check)

    def test_running_and_writing_is_refused(self):
        def check(gdb, case, stub):
            self.facts(case)
            client, stopped = self.attach(gdb, stub, program=case.bin)
            with client:
                said = self.refused(client, stopped['threadId'])
                # gdb keeps what its own step commands print to itself
                self.assertRegex(''.join(said), r'core file, it cannot be run')
                self.unwritable(client)
                self.assertFalse(client.request('evaluate', expression='print g_int = 1', context='repl')['success'])
                self.assertTrue(client.request('pause', threadId=stopped['threadId'])['success'])
                self.assertEqual(self.value(client, self.frames(client, stopped['threadId'])[0]), self.g_int)
                # the last one: gdb 16 to 18 take the program for running after a call that fails
                self.assertFalse(client.request('evaluate', expression='print twice(2)', context='repl')['success'])
                self.leave(client, stub)
        self.each(check)


if __name__ == '__main__':
    gocore.main()
