"""What the tests with real debuggers share: fixtures, the stub, gdb, a raw client.

Only Python's standard library is used. Environment (set by make check):
  GOCORE_STUB    the program, with a wrapper if wanted ("valgrind -q ./gocore-stub")
  GOCORE_OPTIONS more options for it
  GOCORE_SOURCE  top of the source tree
  GOCORE_BUILD   top of the build tree; fixtures are unpacked into tests/fixtures there
  GDBS           the gdbs to test with, separated by spaces or colons (default: what PATH has)
  LLDBS          the same of lldb
"""
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SOURCE = os.environ.get('GOCORE_SOURCE') or os.path.abspath(
    os.path.join(os.path.dirname(__file__), '..', '..'))
BUILD = os.environ.get('GOCORE_BUILD') or os.path.join(SOURCE, 'build')
OPTIONS = shlex.split(os.environ.get('GOCORE_OPTIONS', ''))
STUB = shlex.split(os.environ.get('GOCORE_STUB') or os.path.join(BUILD, 'gocore-stub'))
CORES = os.path.join(SOURCE, 'cores')
FIXTURES = os.path.join(BUILD, 'tests', 'fixtures')
ARCHES = ('x86_64', 'aarch64')

# What the stub keeps for other runs is none of the user's business.
os.environ['XDG_CACHE_HOME'] = os.path.join(BUILD, 'tests', 'cache')

# Sanitizers, valgrind and loaded machines are slow; a test that hangs still ends.
SLOW = float(os.environ.get('GOCORE_SLOW', '1'))
SANITIZER_REPORT = re.compile(r'AddressSanitizer|LeakSanitizer|runtime error:|==\d+== *(Invalid|Conditional)')


# Fixtures

def unpack(packed, plain):
    """Decompress with zstd(1), atomically, since test programs run at the same time."""
    if os.path.exists(plain):
        return plain
    if not shutil.which('zstd'):
        raise unittest.SkipTest('zstd(1) is not installed')
    os.makedirs(os.path.dirname(plain), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(plain)) as tmp:
        new = os.path.join(tmp, 'new')
        subprocess.run(['zstd', '-dqf', packed, '-o', new], check=True)
        os.replace(new, plain)
    return plain


def sysroot(arch):
    """The C library and loader that the programs of this architecture ran with."""
    done = os.path.join(FIXTURES, arch, 'sysroot')
    if os.path.isdir(done):
        return done
    tar = unpack(os.path.join(CORES, arch, 'sysroot.tar.zst'),
                 os.path.join(FIXTURES, arch, 'sysroot.tar'))
    with tempfile.TemporaryDirectory(dir=os.path.join(FIXTURES, arch)) as tmp:
        new = os.path.join(tmp, 'new')
        os.mkdir(new)
        subprocess.run(['tar', 'xf', tar, '-C', new], check=True)
        try:
            os.rename(new, done)
        except OSError:
            if not os.path.isdir(done):
                raise
    return done


class Case:
    """A folder cores/ARCH/NAME; files are unpacked when first asked for."""

    def __init__(self, arch, name):
        self.arch, self.name = arch, name
        self.source = os.path.join(CORES, arch, name)
        self.dir = os.path.join(FIXTURES, arch, name)
        if not os.path.isdir(self.source):
            raise unittest.SkipTest('cores/%s/%s is not there' % (arch, name))

    def __str__(self):
        return '%s/%s' % (self.arch, self.name)

    def file(self, name):
        return unpack(os.path.join(self.source, name + '.zst'), os.path.join(self.dir, name))

    @property
    def core(self):
        return self.file('core')

    @property
    def bin(self):
        return self.file('bin')

    @property
    def sysroot(self):
        return sysroot(self.arch)

    @property
    def expect(self):
        with open(os.path.join(self.source, 'expect.txt'), errors='replace') as f:
            return Expect(f.read())

    def libraries(self):
        """Unpack the case's own libraries; the folder holds them."""
        for name in sorted(os.listdir(self.source)):
            if '.so' in name:
                self.file(name[:-len('.zst')])
        return self.dir

    def serve(self, **kwargs):
        """The stub on this core with all its files at hand."""
        kwargs.setdefault('options', ['--sysroot=' + self.sysroot,
                                      '--bin-dir=' + self.libraries()])
        return Stub(self.core, kwargs.pop('program', self.bin), **kwargs)


class Unpacked:
    """A folder like that of a Case, unpacked by somebody else."""

    def __init__(self, base, arch, name):
        self.arch, self.name, self.dir = arch, name, os.path.join(base, arch, name)
        self.core = os.path.join(self.dir, 'core')
        self.bin = os.path.join(self.dir, 'bin')
        self.sysroot = os.path.join(base, arch, 'sysroot')
        with open(os.path.join(self.dir, 'expect.txt'), errors='replace') as f:
            self.expect = Expect(f.read())

    def __str__(self):
        return '%s/%s' % (self.arch, self.name)


class Expect:
    """expect.txt: "name = value" lines about the core, then sections "== name"."""

    def __init__(self, text):
        head, *sections = re.split(r'^== ', text, flags=re.M)
        self.head = dict(line.split(' = ', 1) for line in head.splitlines() if ' = ' in line)
        self.sections = {}
        for section in sections:
            title, _, body = section.partition('\n')
            self.sections[title.strip()] = body
        self.stdout = self.sections.get('stdout', '').splitlines()
        self.tids = [int(t) for t in self.head.get('core_tids', '').split()]

    @property
    def siginfo(self):
        m = re.match(r'signo (\d+) errno (\d+) code (-?\d+) addr-or-pid/uid (0x[0-9a-f]+)',
                     self.head.get('core_siginfo', ''))
        return m and (int(m[1]), int(m[3]), int(m[4], 16))

    def maps(self):
        """Rows (start, end, perms, offset, name) of the program's own /proc/self/maps."""
        for line in self.stdout:
            m = re.match(r'([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) \S+ \d+ *(.*)', line)
            if m:
                yield int(m[1], 16), int(m[2], 16), m[3], int(m[4], 16), m[5].strip()

    def dmesg_registers(self):
        """Registers of the crash as the arm64 kernel logged them."""
        out = {}
        for name, value in re.findall(r'\b(x\d+|pc|lr|sp|pstate) *: ([0-9a-f]{8,16})\b',
                                      self.sections.get('dmesg', '')):
            out['x30' if name == 'lr' else name] = int(value, 16)
        return out


# The stub

class Stub:
    """A serving gocore-stub; use as a context manager."""

    def __init__(self, core, program=None, options=(), listen='unix', env=None):
        self.tmp = tempfile.mkdtemp(prefix='gcs')
        self.path = os.path.join(self.tmp, 's')
        where = 'unix:' + self.path if listen == 'unix' else listen
        self.args = STUB + [core] + ([program] if program else []) + ['--listen=' + where, *options, *OPTIONS]
        self.lines, self.address = [], None
        self.ready = threading.Event()
        self.proc = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True, errors='replace',
                                     start_new_session=True, env=env)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.ready.wait(20 * SLOW) or not self.address:
            self.close()
            raise AssertionError('the stub did not listen: %s\n%s' % (shlex.join(self.args), self.stderr))

    def _read(self):
        for line in self.proc.stderr:
            self.lines.append(line)
            if line.startswith('listening on ') and not self.ready.is_set():
                self.address = line.split()[2]      # a second line may name another family's address
                self.ready.set()
        self.ready.set()

    @property
    def stderr(self):
        return ''.join(self.lines)

    @property
    def gdb_address(self):
        return self.address[len('unix:'):] if self.address.startswith('unix:') else self.address

    def connect(self):
        if self.address.startswith('unix:'):
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.gdb_address)
        else:
            host, _, port = self.address.rpartition(':')
            s = socket.create_connection((host.strip('[]'), int(port)))
        s.settimeout(20 * SLOW)
        return s

    def alive(self):
        return self.proc.poll() is None

    def close(self):
        """End it; @return its exit status. Whatever it started dies with it."""
        if self.alive():
            self.proc.terminate()
        try:
            status = self.proc.wait(10 * SLOW)
        except subprocess.TimeoutExpired:
            status = None
        try:
            os.killpg(self.proc.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.proc.wait()
        self.reader.join(5)
        self.proc.stderr.close()
        shutil.rmtree(self.tmp, ignore_errors=True)
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.close()
        if kind is None:
            if SANITIZER_REPORT.search(self.stderr):
                raise AssertionError('sanitizer report:\n' + self.stderr)
            if status is None:
                raise AssertionError('SIGTERM did not end the stub')
            if status != 0:
                raise AssertionError('exit status %s after SIGTERM:\n%s' % (status, self.stderr))


def run_stub(*args, timeout=10, stdin=subprocess.DEVNULL, **kwargs):
    """Run the program to its end; stdout and stderr are text."""
    return subprocess.run([*STUB, *args, *OPTIONS], stdin=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors='replace',
                          timeout=timeout * SLOW, **kwargs)


# gdb

def gdbs():
    """The gdbs to test with, as a list of paths; at least one, or the test is skipped."""
    named = [g for g in re.split(r'[:\s]+', os.environ.get('GDBS', '')) if g]
    found = [p for p in (shutil.which(g) for g in named or ['gdb-multiarch']) if p]
    if not found and not named:
        found = [p for p in [shutil.which('gdb')] if p]
    if not found:
        raise unittest.SkipTest('no gdb (looked for %s)' % (', '.join(named) or 'gdb-multiarch, gdb'))
    return found


_known = {}


def knows_arch(gdb, arch):
    """True if this gdb was built for cores of @arch: a plain Debian gdb knows its host only."""
    if gdb not in _known:
        out = subprocess.run([gdb, '-nx', '-batch', '-ex', 'set architecture'], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout
        _known[gdb] = out
    return {'x86_64': 'i386:x86-64', 'aarch64': 'aarch64'}[arch] in _known[gdb]


def run_gdb(gdb, commands, timeout=60, env=None):
    """Run gdb on these commands, reading nothing of the user's; errors do not end it."""
    args = [gdb, '-nx', '-batch', '-ex', 'set width 0', '-ex', 'set height 0',
            '-ex', 'set print elements 0', '-ex', 'set print repeats unlimited',
            '-ex', 'set style enabled off']
    for command in commands:
        args += ['-ex', command]
    environ = dict(os.environ, LC_ALL='C.UTF-8', **(env or {}))
    environ.pop('DEBUGINFOD_URLS', None)
    try:
        return subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ,
                              stderr=subprocess.STDOUT, text=True, errors='replace',
                              timeout=timeout * SLOW).stdout
    except subprocess.TimeoutExpired as e:
        out = e.stdout.decode(errors='replace') if isinstance(e.stdout, bytes) else e.stdout
        raise AssertionError('gdb hangs: %s\n%s' % (shlex.join(args), out)) from None


def ask_gdb(gdb, start, questions, timeout=120):
    """
    Run the commands of @start, then each question; @return (output of start, list of answers).

    A question is one command, or a list of commands whose last one answers.
    """
    commands = list(start)
    for i, question in enumerate(questions):
        *before, last = [question] if isinstance(question, str) else question
        commands += before
        commands += [r'echo \n@@%d:' % i, last, r'echo \n@@end\n']
    out = run_gdb(gdb, commands, timeout)
    answers = {int(n): text.strip() for n, text in re.findall(r'@@(\d+):(.*?)\n@@end', out, flags=re.S)}
    return out.partition('\n@@0:')[0], [answers.get(i) for i in range(len(questions))]


def thread_numbers(gdb, start):
    """gdb's thread number of each kernel thread id."""
    _, (answer,) = ask_gdb(gdb, start, ['info threads'])
    rows = re.findall(r'^[* ] +(\d+) +Thread (?:\d+\.)?(\d+)', answer or '', flags=re.M)
    return {int(tid): int(number) for number, tid in rows}


# lldb

def lldbs():
    """The lldbs to test with, as a list of paths; at least one, or the test is skipped."""
    named = [n for n in re.split(r'[:\s]+', os.environ.get('LLDBS', '')) if n]
    found = [p for p in (shutil.which(n) for n in named or ['lldb']) if p]
    if not found:
        raise unittest.SkipTest('no lldb (looked for %s)' % (', '.join(named) or 'lldb'))
    return found


def ask_lldb(lldb, commands, timeout=120):
    """
    Run the commands in order, reading nothing of the user's; errors do not end it.

    @return list of what each of them printed
    """
    settings = ['settings set auto-confirm true', 'settings set stop-line-count-before 0',
                'settings set stop-line-count-after 0', 'settings set stop-disassembly-display never',
                'settings set plugin.process.gdb-remote.packet-timeout %d' % (20 * SLOW)]
    with tempfile.NamedTemporaryFile('w', suffix='.lldb') as script:
        script.write('\n'.join([*settings, *commands]) + '\n')
        script.flush()
        # a script is run synchronously here, and goes on after errors and stops
        args = [lldb, '--no-lldbinit', '--no-use-colors', '-o',
                'command source --stop-on-error false --stop-on-continue false ' + script.name, '-o', 'quit']
        environ = dict(os.environ, LC_ALL='C.UTF-8')
        environ.pop('DEBUGINFOD_URLS', None)
        try:
            out = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 env=environ, text=True, errors='replace', timeout=timeout * SLOW).stdout
        except subprocess.TimeoutExpired as e:
            out = e.stdout.decode(errors='replace') if isinstance(e.stdout, bytes) else e.stdout
            raise AssertionError('lldb hangs: %s\n%s' % ('\n'.join(commands), out)) from None
    # each command is echoed behind the prompt
    parts = re.split(r'^\(lldb\) (.*)\n', out.partition('(lldb) command source')[2], flags=re.M)
    answers = [text.strip() for text in parts[2::2]][len(settings):len(settings) + len(commands)]
    assert len(answers) == len(commands), 'lldb ended early:\n' + out[-2000:]
    return answers


# A raw client

class Rsp:
    """The GDB remote protocol, just enough to ask; with QStartNoAckMode if wanted."""

    def __init__(self, stub, no_ack=True, features='swbreak+;vContSupported+;xmlRegisters=i386'):
        self.sock = stub.connect()
        self.buffer = b''
        self.acks = True
        self.supported = self.ask('qSupported:' + features)
        if no_ack:
            assert self.ask('QStartNoAckMode') == b'OK'
            self.acks = False

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def frame(payload):
        if isinstance(payload, str):
            payload = payload.encode()
        return b'$' + payload + b'#%02x' % (sum(payload) & 0xff)

    def send(self, payload):
        self.sock.sendall(self.frame(payload))

    def receive(self):
        """One reply, unescaped; its checksum is verified."""
        while True:
            start = self.buffer.find(b'$')
            end = self.buffer.find(b'#', start + 1) if start >= 0 else -1
            if end >= 0 and len(self.buffer) >= end + 3:
                break
            more = self.sock.recv(1 << 18)
            if not more:
                raise EOFError('the stub closed the connection')
            self.buffer += more
        raw, check = self.buffer[start + 1:end], self.buffer[end + 1:end + 3]
        self.buffer = self.buffer[end + 3:]
        assert sum(raw) & 0xff == int(check, 16), 'bad checksum'
        if self.acks:
            self.sock.sendall(b'+')
        return re.sub(rb'}(.)', lambda m: bytes([m[1][0] ^ 0x20]), raw, flags=re.S)

    def ask(self, payload):
        self.send(payload)
        return self.receive()

    def read_memory(self, addr, length):
        """By m; None where nothing is served at addr, else the bytes that are."""
        reply = self.ask('m%x,%x' % (addr, length))
        return None if reply.startswith(b'E') else bytes.fromhex(reply.decode())

    def read_binary(self, addr, length):
        """By x with gdb's binary-upload format."""
        reply = self.ask('x%x,%x' % (addr, length))
        if reply.startswith(b'E') and len(reply) == 3:
            return None
        assert reply.startswith(b'b'), reply[:20]
        return reply[1:]

    def transfer(self, what, annex=''):
        """A whole qXfer document."""
        out = b''
        while True:
            reply = self.ask('qXfer:%s:read:%s:%x,1000' % (what, annex, len(out)))
            assert reply[:1] in (b'm', b'l'), reply[:40]
            out += reply[1:]
            if reply[:1] == b'l':
                return out


# Running

def main():
    """unittest's main, with automake's exit status: 77 when every test was skipped."""
    program = unittest.main(module='__main__', verbosity=2, exit=False, buffer=False)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) >= result.testsRun:
        sys.exit(77)


def eventually(check, timeout=10):
    """Wait until check() is true."""
    end = time.monotonic() + timeout * SLOW
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.02)
    return False
