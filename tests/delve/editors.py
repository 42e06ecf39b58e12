#!/usr/bin/env python3
"""What editors do with a core through gocore-stub dlv: `dlv connect` and a debug adapter's client at a
headless Delve, and `dlv dap` with the launch request that is printed. Both ways: a core of this
host's architecture by the remote protocol, one of another by Delve's own core reader.

DLVS: the Delves to test with (default: dlv in PATH). GOCORE_UNPACKED: as in tests/go/goroutines.py.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), os.path.join(HERE, '..', 'go')]
import dap
import delve
import gocore
import goroutines as printed

LISTENING = re.compile(r'^(?:API|DAP) server listening at: (\S+)', re.M)


class Server:
    """A Delve that listens."""

    def __init__(self, args):
        self.log = tempfile.TemporaryFile('w+')
        self.proc = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
                                     start_new_session=True, env=dict(os.environ, HOME='/nonexistent', TERM='dumb'))
        if not gocore.eventually(lambda: LISTENING.search(self.text) or self.proc.poll() is not None, 30):
            self.close()
        self.address = LISTENING.search(self.text) and LISTENING.search(self.text)[1]
        if not self.address:
            self.close()
            raise AssertionError('it does not listen:\n' + self.text)

    @property
    def text(self):
        with open('/proc/self/fd/%d' % self.log.fileno()) as f:
            return f.read()

    def ended(self):
        return gocore.eventually(lambda: self.proc.poll() is not None)

    def close(self):
        try:
            os.killpg(self.proc.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.proc.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        self.log.close()


class Editors(unittest.TestCase):
    def each(self, check):
        """Each Delve with a core it takes: of this architecture and of another, by each way."""
        asked = 0
        for dlv in delve.delves():
            for case in printed.cases():
                if re.match(r'(panic|segv)-go1\.\d+$', case.name) and dlv.takes(case):
                    with self.subTest('%s, %s' % (dlv, case)):
                        check(dlv, case)
                        asked += 1
        if not asked:
            self.skipTest('none of these Delves takes one of the cores')

    def by_dap(self, case, client, stopped, is_refused):
        """Threads, the main goroutine's stack and variables; then what cannot be done, and the stack again."""
        blocks = {g.goid: g for g in printed.tracebacks(case.expect.sections['stderr'])}
        self.assertEqual(stopped['reason'], 'entry')
        threads = {t['id']: t['name'] for t in client.ask('threads')['threads']}
        self.assertLessEqual(set(blocks), set(threads))
        goid = 1 if case.name.startswith('panic') else max(g for g in blocks if blocks[g].state == 'chan receive')
        want = [f.function for f in blocks[goid].frames if f.function != 'runtime.goexit']
        stack = client.ask('stackTrace', threadId=goid, startFrame=0, levels=50)['stackFrames']
        self.assertEqual([f['name'] for f in stack if f['name'] != 'runtime.goexit'], want)
        if case.name.startswith('panic'):
            frame = stack[want.index('main.main')]
            self.assertEqual(frame['line'], blocks[goid].frames[want.index('main.main')].line)
            scopes = client.ask('scopes', frameId=frame['id'])['scopes']
            names = [v['name'] for s in scopes if s['variablesReference']
                     for v in client.ask('variables', variablesReference=s['variablesReference'])['variables']]
            self.assertIn('req', names)
            answer = client.ask('evaluate', expression='main.globalInt', frameId=frame['id'], context='watch')
            self.assertEqual(answer['result'], '-42')
        for command in ('continue', 'next', 'stepIn', 'stepOut'):
            client.events.clear()
            client.request(command, threadId=goid)
            self.assertRegex(client.event('stopped')['text'], is_refused, command)
        self.assertTrue(client.request('pause', threadId=goid)['success'])
        answer = client.ask('setFunctionBreakpoints', breakpoints=[{'name': 'runtime.gopark'}])['breakpoints'][0]
        self.assertFalse(answer['verified'])
        self.assertRegex(answer['message'], is_refused)
        self.assertEqual(client.ask('stackTrace', threadId=goid, startFrame=0, levels=50)['stackFrames'][0]['name'],
                         stack[0]['name'])

    def refusal(self, case):
        return r'this is a core file, (it cannot be run|nothing in it can stop)' if delve.is_host(case) else 'core (process|file)'

    def test_connect(self):
        """Delve's own client at a headless one."""
        def check(dlv, case):
            args = dlv.stub(case, '--headless', '--listen=127.0.0.1:0', '--api-version=2')
            with Server(args) as server:
                client = [dlv.path, 'connect', server.address, '--allow-non-terminal-interactive=true']
                _, (threads, goroutines, again, end) = delve.ask(
                    client, ['threads', 'goroutines', 'continue', 'goroutine 1'])
                self.assertEqual(sorted(case.expect.tids), sorted(map(int, re.findall(r'Thread (\d+) at', threads))))
                self.assertRegex(goroutines, r'(?m)^[* ]*Goroutine 1 ')
                self.assertRegex(again, self.refusal(case))
                self.assertIn('Switched from', end)
                self.assertTrue(server.ended(), 'headless, and its client has left')
                self.assertEqual("'thread %d' is the one" % case.expect.tids[0] in server.text, delve.is_host(case))
        self.each(check)

    def test_remote_attach(self):
        """As VS Code's "attach", "remote"; twice, since --accept-multiclient keeps Delve there."""
        def check(dlv, case):
            args = dlv.stub(case, '--headless', '--listen=127.0.0.1:0', '--accept-multiclient')
            with Server(args) as server:
                for _ in range(2):
                    with dap.Client(server.address) as client:
                        stopped = client.start('attach', mode='remote', stopOnEntry=True)
                        self.by_dap(case, client, stopped, self.refusal(case))
                        client.request('disconnect', terminateDebuggee=False)
                self.assertIsNone(server.proc.poll())
        self.each(check)

    def test_dap(self):
        """`dlv dap` with the request that gocore-stub prints."""
        def check(dlv, case):
            with Server(dlv.stub(case, 'dap', '--listen=127.0.0.1:0')) as server:
                launch = json.loads(re.search(r'^launch request: (.*)', server.text, re.M)[1])
                self.assertEqual(launch.pop('request'), 'launch')
                self.assertEqual(launch['mode'], 'exec' if delve.is_host(case) else 'core')
                with dap.Client(server.address) as client:
                    self.by_dap(case, client, client.start('launch', **launch), self.refusal(case))
                    client.request('disconnect', terminateDebuggee=True)
                self.assertTrue(server.ended(), 'its client has left')
        self.each(check)


if __name__ == '__main__':
    gocore.main()
