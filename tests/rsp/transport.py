#!/usr/bin/env python3
"""Where the server listens, how it ends, and that one client's trouble is its own.

The server is $RSP_DRIVER (default: rsp_driver in $GOCORE_BUILD/tests/rsp), on a core made in memory.
"""
import contextlib
import os
import re
import resource
import select
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get('GOCORE_BUILD') or os.path.join(HERE, '..', '..', 'build')
DRIVER = shlex.split(os.environ.get('RSP_DRIVER') or os.path.join(BUILD, 'tests', 'rsp', 'rsp_driver'))
# A sanitizer would turn a deadly signal into an exit.
os.environ['ASAN_OPTIONS'] = os.environ.get('ASAN_OPTIONS', '') + ':handle_segv=0:handle_sigbus=0'
# A shell starts what it puts in the background with SIGINT ignored, and the server keeps to that.
signal.signal(signal.SIGINT, signal.default_int_handler)

TIMEOUT = 20 * float(os.environ.get('GOCORE_SLOW', '1'))


def frame(data):
    return b'$' + data + b'#%02x' % (sum(data) & 0xff)


class Server:
    """Started, and listening at .addresses; all its messages in .text() once it has ended."""

    def __init__(self, *args, listeners=1):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*DRIVER, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self.errors)
        end = time.monotonic() + TIMEOUT
        while True:
            self.addresses = re.findall(r'^listening on (\S+)', self.text(), re.M)
            if len(self.addresses) >= listeners or self.process.poll() is not None:
                return
            if time.monotonic() > end:
                raise AssertionError('not listening: ' + self.text())
            time.sleep(0.01)

    def text(self):
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.errors.close()

    def children(self):
        with open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)) as f:
            return [int(pid) for pid in f.read().split()]

    def wait_children(self, count):
        end = time.monotonic() + TIMEOUT
        while len(self.children()) != count:
            if time.monotonic() > end:
                raise AssertionError('%d clients, not %d' % (len(self.children()), count))
            time.sleep(0.01)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)


class Client:
    def __init__(self, address):
        if address.startswith('unix:'):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address[5:])
        else:
            host, _, port = address.rpartition(':')
            self.socket = socket.create_connection((host.strip('[]'), int(port)), TIMEOUT)
        self.socket.settimeout(TIMEOUT)
        self.buf = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, data):
        self.send(frame(data))
        while True:
            found = re.search(rb'\$([^#]*)#..', self.buf, re.DOTALL)
            if found:
                self.buf = self.buf[found.end():]
                return found[1]
            more = self.socket.recv(1 << 20)
            if not more:
                return None
            self.buf += more


class Listening(unittest.TestCase):
    def alive(self, address):
        with Client(address) as c:
            self.assertEqual(c.ask(b'qC'), b'QC1267')

    def test_free_port_is_one_number_for_both_families(self):
        families = 1
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
            probe.bind(('::1', 0))
            families = 2
        with Server(':0', listeners=families) as s:
            ports = {a.rpartition(':')[2] for a in s.addresses}
            self.assertEqual(len(ports), 1, s.addresses)
            self.assertTrue(s.addresses[0].startswith('127.0.0.1:'))
            self.assertEqual(s.addresses[1:], ['[::1]:' + ports.pop()] if families == 2 else [])
            for address in s.addresses:
                self.alive(address)

    def test_host_forms(self):
        with Server('127.0.0.2:0') as s:
            self.assertTrue(s.addresses[0].startswith('127.0.0.2:'))
            self.alive(s.addresses[0])
        with Server('0.0.0.0:0') as s:
            self.assertIn('(not loopback)', s.text())
            self.alive(s.addresses[0].replace('0.0.0.0', '127.0.0.1'))

    def refused(self, address, message):
        with Server(address) as s:
            self.assertEqual(s.process.wait(TIMEOUT), 1)
            lines = s.text().splitlines()
            self.assertEqual(len(lines), 1, lines)
            self.assertRegex(lines[0], message)

    def test_bad_addresses_are_one_sentence(self):
        for address in ('', '1234', ':', ':x', ':12x', ':65536', ':-1', ': 1', '::1:1234', '[::1]', 'localhost:',
                        'unix', 'tcp:1234:', '127.0.0.1:1:2'):
            with self.subTest(address=address):
                self.refused(address, r'no address to listen on: :PORT, HOST:PORT')
        self.refused('no.such.host.invalid:1234', r'cannot listen on no\.such\.host\.invalid:1234: ')
        self.refused('192.0.2.1:1234', r'cannot listen on 192\.0\.2\.1:1234: Cannot assign')
        self.refused('unix:', r'1 to \d+ bytes')
        self.refused('unix:/tmp/' + 'x' * 200, r'1 to \d+ bytes')
        self.refused('unix:/no/such/dir/socket', r'cannot listen on /no/such/dir/socket: No such file')

    def test_address_in_use(self):
        with Server(':0') as s:
            port = s.addresses[0].rpartition(':')[2]
            self.refused(':' + port, r'cannot listen on :%s: the address is in use' % port)
            self.refused('127.0.0.1:' + port, r'the address is in use')
            self.alive(s.addresses[0])

    def test_port_is_free_at_once_after_the_end(self):
        with Server('127.0.0.1:0') as s:
            address = s.addresses[0]
            with Client(address) as c:
                c.ask(b'qC')
                self.assertEqual(s.end(signal.SIGTERM), 0)
        with Server(address):
            self.alive(address)

    def test_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'socket')
            with Server('unix:' + path) as s:
                self.assertEqual(s.addresses, ['unix:' + path])
                self.assertEqual(stat.S_IMODE(os.lstat(path).st_mode), 0o600)
                self.alive('unix:' + path)
                self.refused('unix:' + path, r'cannot listen on .*: the address is in use')
                self.alive('unix:' + path)
                self.assertEqual(s.end(signal.SIGTERM), 0)
            self.assertFalse(os.path.exists(path))

    def test_unix_socket_left_behind_is_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'socket')
            with Server('unix:' + path) as s:
                s.process.kill()
                s.process.wait()
            self.assertTrue(os.path.exists(path))
            with Server('unix:' + path):
                self.alive('unix:' + path)

    def test_other_files_are_not_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'file')
            with open(path, 'w') as f:
                f.write('precious')
            self.refused('unix:' + path, r'there is a file that is no socket')
            with open(path) as f:
                self.assertEqual(f.read(), 'precious')

    def test_a_socket_that_is_another_servers_by_now_stays(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'socket')
            with Server('unix:' + path) as s:
                os.unlink(path)
                with Server('unix:' + path):
                    self.assertEqual(s.end(signal.SIGTERM), 0)
                    self.alive('unix:' + path)

    def test_stdio(self):
        done = subprocess.run([*DRIVER, 'stdio'], input=frame(b'QStartNoAckMode') + frame(b'qC'), timeout=TIMEOUT,
                              capture_output=True)
        self.assertEqual(done.stdout, b'+$OK#9a' + frame(b'QC1267'))
        self.assertEqual(done.returncode, 0)


class Ending(unittest.TestCase):
    def test_signals_end_it_and_its_clients(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number), Server(':0') as s, Client(s.addresses[0]) as c:
                self.assertEqual(c.ask(b'qC'), b'QC1267')
                pids = s.children()
                self.assertEqual(len(pids), 1)
                self.assertEqual(s.end(number), 0)
                self.assertIsNone(c.ask(b'qC'))
                self.assertFalse(os.path.exists('/proc/%d' % pids[0]))

    def test_clients_end_with_a_server_that_was_killed(self):
        with Server(':0') as s, Client(s.addresses[0]) as c:
            c.ask(b'qC')
            s.process.kill()
            s.process.wait()
            with contextlib.suppress(ConnectionError):
                self.assertIsNone(c.ask(b'qC'))

    def test_once(self):
        with Server('-o', ':0') as s:
            with Client(s.addresses[0]) as c:
                self.assertEqual(c.ask(b'qC'), b'QC1267')
                with self.assertRaises(OSError):
                    Client(s.addresses[0])
                self.assertEqual(c.ask(b'qC'), b'QC1267')
            self.assertEqual(s.process.wait(TIMEOUT), 0)

    def test_kill_ends_the_session_only(self):
        with Server(':0') as s:
            with Client(s.addresses[0]) as c:
                self.assertIsNone(c.ask(b'k'))
            with Client(s.addresses[0]) as c:
                self.assertEqual(c.ask(b'D;1267'), b'OK')
                self.assertEqual(c.ask(b'qC'), b'QC1267')


class Clients(unittest.TestCase):
    def test_a_session_of_each_ones_own(self):
        with Server(':0') as s, Client(s.addresses[0]) as a, Client(s.addresses[0]) as b:
            a.ask(b'qSupported:multiprocess+')
            a.ask(b'Hgp1267.1269')
            self.assertEqual(b.ask(b'qC'), b'QC1267')
            self.assertEqual(a.ask(b'qC'), b'QCp1267.1269')

    def test_gone_clients_leave_nothing(self):
        with Server(':0') as s:
            for _ in range(20):
                with Client(s.addresses[0]) as c:
                    c.send(b'+$m400000,')
            s.wait_children(0)

    def test_a_client_that_does_not_read_waits_alone(self):
        with Server('-r', '1', ':0') as s, Client(s.addresses[0]) as lazy:
            request = frame(b'x10000000,10000') * 3000
            lazy.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while request:
                    request = request[lazy.socket.send(request):]
            time.sleep(0.2)
            with Client(s.addresses[0]) as c:
                self.assertEqual(c.ask(b'qC'), b'QC1267')
            pid = s.children()[0]
            with open('/proc/%d/status' % pid) as f:
                kib = int(re.search(r'VmRSS:\s*(\d+)', f.read())[1])
            if 'asan' not in ''.join(DRIVER) and not os.environ.get('GOCORE_SLOW'):
                self.assertLess(kib, 32 << 10)
            self.assertEqual(s.end(signal.SIGTERM), 0)

    def test_a_packet_of_100_mb(self):
        with Server(':0') as s, Client(s.addresses[0]) as c:
            c.ask(b'QStartNoAckMode')
            c.send(b'$' + b'a' * (100 << 20) + b'#00')
            self.assertEqual(c.ask(b'qC'), b'E01')
            self.assertEqual(c.ask(b'qC'), b'QC1267')

    def test_rubbish(self):
        with Server(':0') as s, Client(s.addresses[0]) as c:
            for _ in range(50):
                with Client(s.addresses[0]) as bad:
                    bad.send(os.urandom(5000))
            self.assertEqual(c.ask(b'qC'), b'QC1267')
            self.assertNotIn('ended by', s.text())

    def test_a_session_that_dies_is_told_and_alone(self):
        with Server(':0') as s, Client(s.addresses[0]) as a, Client(s.addresses[0]) as b:
            a.ask(b'qC')
            b.ask(b'qC')
            for number, words in ((signal.SIGBUS, 'was cut or damaged'), (signal.SIGSEGV, 'signal 11')):
                with Client(s.addresses[0]) as c:
                    c.ask(b'qC')
                    pid = max(s.children())
                    os.kill(pid, number)
                    select.select([c.socket], [], [], TIMEOUT)
                s.wait_children(2)
                end = time.monotonic() + TIMEOUT
                while words not in s.text() and time.monotonic() < end:
                    time.sleep(0.01)
                self.assertRegex(s.text(), r'(?m)^gocore-stub: the session of 127\.0\.0\.1:\d+ ended by .*' + words)
            self.assertEqual(a.ask(b'qC'), b'QC1267')
            self.assertEqual(b.ask(b'qC'), b'QC1267')

    def test_no_room_for_a_client_is_no_end(self):
        with Server(':0') as s:
            port = int(s.addresses[0].rpartition(':')[2])
            soft, hard = resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (3, hard))
            with Client('127.0.0.1:%d' % port) as waiting:
                time.sleep(0.3)
                resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
                self.assertEqual(waiting.ask(b'qC'), b'QC1267')


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-q', *sys.argv[1:]])
