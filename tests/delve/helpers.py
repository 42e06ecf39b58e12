#!/usr/bin/env python3
"""gocore-stub as the helper that Delve starts: a debugserver, an lldb-server, rr, or between Delve and a
stub that serves already. Told by a client of our own, and by real Delves started by hand. It never
starts or touches a process. DLVS, GOCORE_UNPACKED: as in tests/delve/questions.py."""
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), os.path.join(HERE, '..', 'go')]
import delve
import gocore
import goroutines as printed

CASE = ('x86_64', 'segv-go1.26')


def environment(**more):
    return dict(os.environ, **more)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Peer(gocore.Rsp):
    """Delve's end of a connection."""

    def __init__(self, sock):
        sock.settimeout(20 * gocore.SLOW)
        self.sock, self.buffer, self.acks = sock, b'', True
        self.sock.sendall(b'+')


class Helper(unittest.TestCase):
    def setUp(self):
        self.case = gocore.Case(*CASE)
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)

    def named(self, name):
        """The program by another name; only a plain path can be linked to."""
        if len(gocore.STUB) != 1:
            self.skipTest('the stub is run by a wrapper')
        path = os.path.join(self.tmp.name, name)
        os.symlink(os.path.abspath(gocore.STUB[0]), path)
        return path

    def start(self, args, **env):
        proc = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env=environment(**env), start_new_session=True)
        self.addCleanup(self.end, proc)
        return proc

    def end(self, proc):
        try:
            os.killpg(proc.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        proc.wait()
        proc.stdout.close()
        proc.stderr.close()

    def dialled(self, *words, **env):
        """Start it as a debugserver; @return the process and the connection that it made."""
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen()
            listener.settimeout(20 * gocore.SLOW)
            where = '127.0.0.1:%d' % listener.getsockname()[1]
            proc = self.start([*gocore.STUB, *(where if w is None else w for w in words)], **env)
            return proc, Peer(listener.accept()[0])

    def connected(self, port):
        """Dial until it listens, as Delve does."""
        end = time.monotonic() + 20 * gocore.SLOW
        while True:
            try:
                return Peer(socket.create_connection(('127.0.0.1', port)))
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def is_our_core(self, peer, proc):
        """It answers as to Delve, and ends when Delve leaves."""
        with peer:
            self.assertEqual(peer.ask('QStartNoAckMode'), b'OK')
            peer.acks = False
            self.assertEqual(peer.ask('QThreadSuffixSupported'), b'OK')
            self.assertRegex(peer.ask('qSupported:swbreak+;hwbreak+;no-resumed+;xmlRegisters=i386'), rb'^PacketSize=')
            self.assertRegex(peer.ask('qRegisterInfo0'), b'name:rax;bitsize:64;offset:0;')
            want = b'm' + b','.join(b'%x' % tid for tid in self.case.expect.tids)
            self.assertEqual(peer.ask('qfThreadInfo'), want)
            self.assertRegex(peer.ask('vCont;c'), b'^E.gocore-stub: this is a core file')
            self.assertEqual(peer.ask('k'), b'X09')
        self.assertEqual(proc.wait(20 * gocore.SLOW), 0)


class Personalities(Helper):
    def test_probe(self):
        """Delve asks for the flag before every start."""
        done = gocore.run_stub('--unmask-signals')
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))

    def test_debugserver(self):
        for words in (['--unmask-signals', '-F', '-R', None, '--', self.case.bin, self.case.core],
                      ['-e', 'LD_PRELOAD=x', '--stdin-path', '/dev/null', '--stdout-path', 'x', '--stderr-path', 'x',
                       '-g', '-l', 'stdout', '-D', '-F', '-R', None, '--', self.case.bin, self.case.core, 'more']):
            proc, peer = self.dialled(*words)
            self.is_our_core(peer, proc)

    def test_environment(self):
        """Attach has no room for a core; and the environment counts before the words."""
        env = {'GOCORE_STUB_CORE': self.case.core, 'GOCORE_STUB_BIN': self.case.bin}
        for words in (['-R', None, '--attach=1', '--unmask-signals'],
                      ['-R', None, '--waitfor=x', '--waitfor-interval=1', '--waitfor-duration=2'],
                      ['-F', '-R', None, '--', '/bin/true', '/nonexistent']):
            proc, peer = self.dialled(*words, **env)
            self.is_our_core(peer, proc)

    def test_options_in_the_environment(self):
        folder = os.path.dirname(self.case.bin)
        proc, peer = self.dialled('-R', None, '--attach=1', GOCORE_STUB_CORE=self.case.core,
                                  GOCORE_STUB_OPTIONS='--bin-dir=%s\n--no-sandbox\n' % folder)
        self.is_our_core(peer, proc)
        done = gocore.run_stub('-R', '127.0.0.1:1', '--attach=1', env=environment(
            GOCORE_STUB_CORE=self.case.core, GOCORE_STUB_OPTIONS='--nonsense'))
        self.assertEqual(done.returncode, 2)

    def test_lldb_server(self):
        for name, words in ((None, ['gdbserver', ':PORT', '--', self.case.bin, self.case.core]),
                            ('lldb-server', ['gdbserver', ':PORT', '--', self.case.bin, self.case.core]),
                            (None, ['gdbserver', '--attach', '1', ':PORT'])):
            port = free_port()
            proc = self.start([*([self.named(name)] if name else gocore.STUB), *(w.replace('PORT', str(port)) for w in words)],
                              GOCORE_STUB_CORE=self.case.core, GOCORE_STUB_BIN=self.case.bin)
            self.is_our_core(self.connected(port), proc)

    def test_rr(self):
        """Its line on standard error has the form that every Delve knows."""
        rr = self.named('rr')
        self.assertEqual(subprocess.run([rr, '--version'], timeout=20).returncode, 0)
        proc = self.start([rr, 'replay', '--dbgport=0', '--onprocess=7', '-x', self.case.core], GOCORE_STUB_BIN=self.case.bin)
        line = proc.stderr.readline()
        m = re.fullmatch(r"  gdb '-l' '10000' '-ex' 'target extended-remote 127\.0\.0\.1:(\d+)' (\S+)\n", line)
        self.assertTrue(m, line)
        self.assertEqual(os.path.realpath(m[2]), os.path.realpath(self.case.bin))
        self.is_our_core(self.connected(int(m[1])), proc)

    def test_relay(self):
        """Between Delve and a stub that serves already; goroutines are Delve's own business."""
        with self.case.serve() as stub:
            self.assertIn('goroutines', stub.stderr)
            proc, peer = self.dialled('-F', '-R', None, '--', self.case.bin, GOCORE_STUB_CONNECT=stub.address)
            self.is_our_core(peer, proc)
            port = free_port()
            proc = self.start([*gocore.STUB, 'gdbserver', ':%d' % port, '--', self.case.bin],
                              GOCORE_STUB_CONNECT=stub.address)
            self.is_our_core(self.connected(port), proc)
            self.assertTrue(stub.alive())


class Dangers(Helper):
    """What it must not do."""

    def test_starts_nothing(self):
        made = os.path.join(self.tmp.name, 'made')
        for words in (['-F', '-R', '127.0.0.1:1', '--', '/usr/bin/touch', made],
                      ['gdbserver', ':%d' % free_port(), '--', '/usr/bin/touch', made]):
            done = gocore.run_stub(*words)
            self.assertEqual(done.returncode, 1)
            self.assertIn(made, done.stderr)
            self.assertFalse(os.path.exists(made))

    def test_touches_nothing(self):
        victim = self.start(['sleep', '60'])
        proc, peer = self.dialled('-R', None, '--attach=%d' % victim.pid,
                                  GOCORE_STUB_CORE=self.case.core, GOCORE_STUB_BIN=self.case.bin)
        with open('/proc/%d/status' % victim.pid) as f:
            status = f.read()
        self.assertRegex(status, r'(?m)^TracerPid:\t0$')
        self.assertRegex(status, r'(?m)^State:\t[RSD]') # neither stopped nor traced
        self.is_our_core(peer, proc)
        self.assertIsNone(victim.poll())

    def test_usual_words_are_no_call(self):
        """What is not Delve's grammar to the last word is an ordinary command line."""
        rr = self.named('rr')
        for words in (['--unmask-signals', 'x'], ['-R'], ['-R', 'nowhere', '--'], ['gdbserver'], ['gdbserver', 'x'],
                      ['gdbserver', ':1', 'x']):
            self.assertNotEqual(gocore.run_stub(*words).returncode, 0, words)
        for words in ([], ['record', 'x'], ['replay']):
            done = subprocess.run([rr, *words], stderr=subprocess.PIPE, text=True, timeout=20)
            self.assertEqual(done.returncode, 2, words)

    def test_errors(self):
        for words, env, says in (
                (['-R', '127.0.0.1:1', '--attach=1'], {}, 'which core'),
                (['-R', '127.0.0.1:1', '--', self.case.bin, '/nonexistent'], {}, '/nonexistent'),
                (['-R', '127.0.0.1:1', '--', self.case.bin, self.case.core], {}, 'cannot connect to 127.0.0.1:1'),
                (['-R', '127.0.0.1:1', '--', self.case.bin], {'GOCORE_STUB_CONNECT': 'x'}, 'no address')):
            done = gocore.run_stub(*words, env=environment(**env))
            self.assertIn(says, done.stderr)
            self.assertNotEqual(done.returncode, 0)

    def test_parent_dies(self):
        """One that waits for a Delve that died does not stay behind."""
        if len(gocore.STUB) != 1:
            self.skipTest('the stub is run by a wrapper')
        with tempfile.TemporaryFile() as log:
            shell = subprocess.Popen(['sh', '-c', '"$@" & echo $!; sleep 60', 'sh', gocore.STUB[0], 'gdbserver',
                                      ':%d' % free_port(), '--', self.case.bin, self.case.core],
                                     stdout=subprocess.PIPE, stderr=log, start_new_session=True, text=True)
            pid = int(shell.stdout.readline())

            def state():
                try:
                    with open('/proc/%d/stat' % pid) as f:
                        return f.read().rpartition(')')[2].split()[0]
                except FileNotFoundError:
                    return None

            def waits():
                return any(os.readlink(f.path).startswith('socket:') for f in os.scandir('/proc/%d/fd' % pid))
            try:
                self.assertTrue(gocore.eventually(waits))
                shell.kill()
                self.assertTrue(gocore.eventually(lambda: state() in (None, 'Z')), 'it is still there')
            finally:
                try:
                    os.killpg(shell.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                shell.wait()
                shell.stdout.close()


class ByHand(Helper):
    """Real Delves, started without gocore-stub dlv."""

    def ask(self, case, dlv, words, **env):
        _, (threads, goroutines) = delve.ask([dlv.path, *words], ['threads', 'goroutines'], env=env)
        self.assertEqual(sorted(map(int, re.findall(r'Thread (\d+) at', threads))), sorted(case.expect.tids))
        self.assertRegex(goroutines, r'(?m)^[* ]*Goroutine 1 ')

    def each(self, check):
        asked = 0
        for dlv in delve.delves():
            for case in printed.cases():
                if re.match(r'(panic|segv)-go1\.\d+$', case.name) and delve.is_host(case) and dlv.takes(case):
                    with self.subTest('%s, %s' % (dlv, case)):
                        os.chmod(case.bin, os.stat(case.bin).st_mode | stat.S_IXUSR)
                        check(dlv, case)
                    asked += 1
                    break
        if not asked:
            self.skipTest('none of these Delves takes one of the cores')

    def test_forms(self):
        always = '--allow-non-terminal-interactive=true'

        def check(dlv, case):
            helper = self.named('helper%d' % len(os.listdir(self.tmp.name)))
            self.ask(case, dlv, ['exec', '--backend=lldb', always, case.bin, '--', case.core],
                     DELVE_DEBUGSERVER_PATH=helper)
            folder = tempfile.mkdtemp(dir=self.tmp.name)
            os.symlink(os.path.realpath(helper), os.path.join(folder, 'lldb-server'))
            self.ask(case, dlv, ['exec', '--backend=lldb', always, case.bin, '--', case.core],
                     PATH=folder + ':' + os.environ['PATH'])
            with gocore.Stub(case.core, case.bin, listen=':0') as stub:
                self.ask(case, dlv, ['exec', '--backend=lldb', always, case.bin], DELVE_DEBUGSERVER_PATH=helper,
                         GOCORE_STUB_CONNECT=stub.address)
        self.each(check)

    def test_replay(self):
        try:
            with open('/proc/sys/kernel/perf_event_paranoid') as f:
                allowed = int(f.read()) <= 1
        except FileNotFoundError:
            allowed = True
        if not allowed:
            self.skipTest('Delve refuses rr where kernel.perf_event_paranoid is over 1')

        def check(dlv, case):
            folder = tempfile.mkdtemp(dir=self.tmp.name)
            os.symlink(os.path.abspath(gocore.STUB[0]), os.path.join(folder, 'rr'))
            self.ask(case, dlv, ['replay', '--allow-non-terminal-interactive=true', case.core],
                     PATH=folder + ':' + os.environ['PATH'], GOCORE_STUB_BIN=case.bin)
        self.each(check)


if __name__ == '__main__':
    gocore.main()
