#!/usr/bin/env python3
"""32 clients at once. Half of them do their work; the others send rubbish, half packets, 100 MB
packets, or vanish. The first half never notices."""
import os
import random
import socket
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

GOOD, ROUNDS, SECONDS = 16, 12, 6
HUGE = 100 * 1000 * 1000


def end(sock, reset=False):
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    sock.close()


def rubbish(stub, rng):
    s = stub.connect()
    s.sendall(rng.randbytes(rng.randrange(1, 20000)))
    end(s)


def half_packet(stub, rng):
    s = stub.connect()
    s.sendall(b'+$qSupported:multiproc')
    time.sleep(rng.random())
    end(s)


def half_checksum_kept(stub, rng):
    """Says half a packet and stays silent while the others work."""
    s = stub.connect()
    s.sendall(b'$g#6')
    time.sleep(2)
    end(s)


def huge_packet(stub, rng):
    """100 MB in one packet, with a checksum that fits."""
    s = stub.connect()
    s.sendall(b'$m')
    block, total = b'0' * 1000000, ord('m')
    try:
        for _ in range(HUGE // len(block)):
            s.sendall(block)
            total += ord('0') * len(block)
        s.sendall(b'#%02x' % (total & 0xff))
        s.recv(100)
    except OSError:
        pass    # to be cut off is a good answer
    end(s)


def wrong_checksums(stub, rng):
    s = stub.connect()
    for _ in range(50):
        s.sendall(b'$?#00')
    s.recv(1)
    end(s)


def vanish_in_reply(stub, rng):
    """Asks for much and goes without reading it."""
    s = stub.connect()
    s.settimeout(0.5)
    try:
        for _ in range(200):
            s.sendall(gocore.Rsp.frame('qXfer:features:read:target.xml:0,1000'))
    except TimeoutError:
        pass    # the server waits until its replies are read
    end(s, reset=rng.random() < 0.5)


def interrupts(stub, rng):
    s = stub.connect()
    s.sendall(b'\x03' * 5000)
    end(s)


def hostile_arguments(stub, rng):
    """Well-framed packets whose numbers are absurd; each gets some reply."""
    with gocore.Rsp(stub) as client:
        for packet in ('m0,ffffffffffffffff', 'mffffffffffffffff,ffffffffffffffff', 'm', 'm,', 'm0', 'mzz,1',
                       'x0,ffffffffffffffff', 'x,', 'p', 'pffffffff', 'p-1', 'Hg', 'Hgp', 'Hgffffffffffffffffff',
                       'Hgp-1.-1', 'T', 'T-1', 'Tp1.', 'qXfer:', 'qXfer:auxv', 'qXfer:auxv:read:',
                       'qXfer:auxv:read::ffffffffffffffff,ffffffffffffffff', 'qXfer:nothing:read::0,1',
                       'qXfer:features:read:../../etc/passwd:0,1000', 'qXfer:threads:read::0,0',
                       'qSearch:memory:0;ffffffffffffffff;x', 'qSearch:memory:', 'qSearch:memory:0;0;',
                       'qCRC:0,ffffffffffffffff', 'qCRC:', 'qGetTLSAddr:', 'qGetTLSAddr:1,2', 'qMemTags:0,ffffffff:1',
                       'qIsAddressTagged:', 'vFile:open:2f6574632f706173737764,0,0', 'vFile:open:,,', 'vFile:pread:0,ffffffff,0',
                       'vFile:pread:ffffffff,1000,0', 'vFile:close:ffffffff', 'vFile:fstat:7', 'vFile:', 'qRcmd,', 'qRcmd,6',
                       'qRcmd,zz', 'vCont', 'vCont;', 'vCont;c:ffffffffff', 'Z', 'Z9,0,0', 'z0', 'G', 'M0,1', 'X0,1:',
                       '', '!', 'bc', 'qThreadExtraInfo,', 'qThreadExtraInfo,ffffffffffffffff', '\x00\x01\x02', '}}}}'):
            client.send(packet)
            client.receive()
    return True


HOSTILE = [rubbish, half_packet, half_checksum_kept, huge_packet, wrong_checksums, vanish_in_reply, interrupts,
           hostile_arguments]


class ManyClients(unittest.TestCase):
    def work(self, stub, want, failures):
        """One honest client: connects, reads the same things again and again, leaves."""
        try:
            end_at, rounds = time.monotonic() + SECONDS, 0
            while rounds < ROUNDS or time.monotonic() < end_at:
                with gocore.Rsp(stub, features='vContSupported+;binary-upload+') as client:
                    got = self.facts(client)
                if got != want:
                    failures.append('another answer than before')
                    return
                rounds += 1
        except Exception as e:      # reported by the main thread
            failures.append(repr(e))

    def facts(self, client):
        stop = client.ask('?')
        threads = client.transfer('threads')
        client.ask('Hgp0.0')
        registers = client.ask('g')
        blocks = [client.read_binary(a, 0x4000) for a in self.addresses]
        return stop, threads, registers, blocks

    def misbehave(self, stub, how, rng, failures):
        try:
            end_at = time.monotonic() + SECONDS
            while time.monotonic() < end_at:
                try:
                    how(stub, rng)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                except EOFError:
                    if how is hostile_arguments:
                        raise
        except Exception as e:      # as above
            failures.append('%s: %r' % (how.__name__, e))

    def test_32_clients(self):
        case = gocore.Case('aarch64', 'threads')
        self.addresses = [start for start, _, perms, _, name in case.expect.maps()
                          if perms.startswith('r') and not name.startswith('[v')][:6]
        with case.serve() as stub:
            with gocore.Rsp(stub, features='vContSupported+;binary-upload+') as client:
                want = self.facts(client)
            self.assertTrue(all(want[3]), 'memory to read')
            failures = []
            threads = [threading.Thread(target=self.work, args=(stub, want, failures)) for _ in range(GOOD)]
            for i in range(32 - GOOD):
                how = HOSTILE[i % len(HOSTILE)]
                threads.append(threading.Thread(target=self.misbehave,
                                                args=(stub, how, random.Random(i), failures)))
            for t in threads:
                t.start()
            for t in threads:
                t.join(120 * gocore.SLOW)
                self.assertFalse(t.is_alive(), 'a client hangs')
            self.assertEqual(failures, [])
            self.assertTrue(stub.alive())
            with gocore.Rsp(stub, features='vContSupported+;binary-upload+') as client:
                self.assertEqual(self.facts(client), want)
            self.assertTrue(gocore.eventually(lambda: not children(stub.proc.pid)),
                            'processes of clients that are gone: %s' % children(stub.proc.pid))
            print('  banner and messages of the server:\n' + stub.stderr)

    def test_own_sessions(self):
        """What one client selects is not what another sees."""
        case = gocore.Case('x86_64', 'threads')
        with case.serve() as stub, gocore.Rsp(stub) as one, gocore.Rsp(stub) as two:
            registers = {}
            for tid in case.expect.tids:
                self.assertEqual(one.ask('Hg%x' % tid), b'OK')
                registers[tid] = one.ask('g')
            self.assertEqual(len(set(registers.values())), len(case.expect.tids))
            for a in case.expect.tids:
                for b in case.expect.tids:
                    one.ask('Hg%x' % a)
                    two.ask('Hg%x' % b)
                    self.assertEqual((one.ask('g'), two.ask('g')), (registers[a], registers[b]))

    def test_hostile_arguments(self):
        for arch, name in (('x86_64', 'plugin'), ('aarch64', 'arm-mte')):
            with gocore.Case(arch, name).serve() as stub:
                hostile_arguments(stub, None)

    def test_pipelined(self):
        """Several packets in one write, as lldb sends them, and one packet a byte at a time."""
        case = gocore.Case('x86_64', 'threads')
        with case.serve() as stub, gocore.Rsp(stub) as client:
            stop, registers = client.ask('?'), client.ask('g')
            client.sock.sendall(b''.join(map(client.frame, ['?', 'g', 'qAttached', '?'])))
            self.assertEqual([client.receive() for _ in range(4)], [stop, registers, b'1', stop])
            for byte in client.frame('g'):
                client.sock.sendall(bytes([byte]))
            self.assertEqual(client.receive(), registers)


def children(pid):
    try:
        with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
            return f.read().split()
    except OSError:
        return []


if __name__ == '__main__':
    gocore.main()
