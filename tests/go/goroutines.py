#!/usr/bin/env python3
"""goroutines: every goroutine that the runtime printed when it died (expect.txt, stderr) must be in
the JSON and the text with the same state, frames and creator; the other formats must agree with
the JSON.

GOCORE_UNPACKED names a folder ARCH/CASE/{core,bin,expect.txt} to test as well as the bundled cores.
"""
import collections
import gzip
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import gocore

try:
    import jsonschema
except ImportError:
    jsonschema = None


# Cores

def cases():
    """Go cores, each once."""
    seen, base = set(), os.environ.get('GOCORE_UNPACKED')
    for arch in gocore.ARCHES:
        if base and os.path.isdir(os.path.join(base, arch)):
            for name in sorted(os.listdir(os.path.join(base, arch))):
                if re.search(r'-go1\.', name) and os.path.exists(os.path.join(base, arch, name, 'bin')):
                    seen.add((arch, name))
                    yield gocore.Unpacked(base, arch, name)
        for name in sorted(os.listdir(os.path.join(gocore.CORES, arch))):
            if re.search(r'-go1\.', name) and (arch, name) not in seen and os.path.exists(
                    os.path.join(gocore.CORES, arch, name, 'bin.zst')):
                yield gocore.Case(arch, name)


def exceptions():
    """{'ARCH/CASE': {'GOID', 'minutes', ...}}"""
    out = collections.defaultdict(set)
    with open(os.path.join(HERE, 'exceptions.txt')) as f:
        for line in f:
            if line.strip() and not line.startswith('#'):
                case, what, _reason = line.split(None, 2)
                out[case].add(what)
    return out


# ELF files

def section(elf, name):
    """Address of a section."""
    table, = struct.unpack_from('<Q', elf, 40)
    size, count, names = struct.unpack_from('<HHH', elf, 58)
    names, = struct.unpack_from('<Q', elf, table + names * size + 24)
    for at in range(table, table + count * size, size):
        start = names + struct.unpack_from('<I', elf, at)[0]
        if elf[start:elf.index(b'\0', start)] == name:
            return struct.unpack_from('<Q', elf, at + 16)[0]
    raise KeyError(name)


def segments(core):
    """(offset of the program header, its fields) of all that holds memory."""
    table, = struct.unpack_from('<Q', core, 32)
    size, count = struct.unpack_from('<HH', core, 54)
    for at in range(table, table + count * size, size):
        kind, _, offset, start, _, filesz, memsz = struct.unpack_from('<IIQQQQQ', core, at)
        if kind == 1:
            yield at, offset, start, filesz, memsz


def offset_of(core, addr):
    """Where in the file the byte at an address is."""
    return next(offset + addr - start for _, offset, start, filesz, _ in segments(core) if 0 <= addr - start < filesz)


def without_start(core, addr):
    """A core whose segment with @addr begins there."""
    out = bytearray(core)
    for at, offset, start, filesz, memsz in segments(core):
        cut = addr - start
        if 0 <= cut < filesz:
            struct.pack_into('<QQQQQ', out, at + 8, offset + cut, addr, 0, filesz - cut, memsz - cut)
    return out


# The runtime's traceback

Frame = collections.namedtuple('Frame', 'function file line pc sp')
Printed = collections.namedtuple('Printed', 'goid state minutes locked frames creator')
HEADER = re.compile(r'goroutine (\d+)(?: gp=0x[0-9a-f]+ m=(?:nil|\d+ mp=0x[0-9a-f]+))? \[([^\]]+)\]:')
POSITION = re.compile(r'\t(.+):(\d+)(?: \+0x[0-9a-f]+)?(?: fp=0x[0-9a-f]+ sp=(0x[0-9a-f]+) pc=(0x[0-9a-f]+))?')


def without_arguments(call):
    """main.(*T).f({0x1, 0x2}, (...)) -> main.(*T).f"""
    depth = 0
    for i in range(len(call) - 1, -1, -1):
        depth += (call[i] == ')') - (call[i] == '(')
        if depth == 0:
            return call[:i]
    raise ValueError('no call: ' + call)


def goroutine_of(block):
    header = HEADER.fullmatch(block[0])
    state, *more = header[2].split(', ')
    minutes = [int(m[1]) for m in (re.fullmatch(r'(\d+) minutes', word) for word in more) if m]
    frames, creator = [], None
    for call, place in zip(block[1::2], block[2::2]):
        at = POSITION.fullmatch(place)
        if not at:
            raise ValueError('no position: ' + place)
        made = re.fullmatch(r'created by (.+?)(?: in goroutine (\d+))?', call)
        if made:
            creator = (made[1], at[1], int(at[2]), made[2] and int(made[2]))
        else:
            frames.append(Frame(without_arguments(call), at[1], int(at[2]), at[4], at[3]))
    return Printed(int(header[1]), state, minutes[0] if minutes else 0, 'locked to thread' in more, frames, creator)


def tracebacks(text):
    """All goroutines in it but the scheduler's (goroutine 0)."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if not HEADER.fullmatch(line) or line.startswith('goroutine 0 '):
            continue
        end = i + 1
        while end + 1 < len(lines) and lines[end + 1].startswith('\t'):
            end += 2
        yield goroutine_of(lines[i:end])


def is_go(frame):
    """Could the runtime print it? C frames above the Go ones are ours alone."""
    return bool(re.search(r'\.(go|s)$|^<autogenerated>$', frame.get('file', '')))


def differences(want, got, minutes):
    """What a goroutine of the JSON has otherwise than the runtime printed."""
    state = got.get('wait_reason') or got['status']
    if state != want.state:
        yield 'state %s, printed %s' % (state, want.state)
    if minutes and got.get('wait_minutes', 0) != want.minutes:
        yield 'minutes %s, printed %s' % (got.get('wait_minutes'), want.minutes)
    if ('locked_tid' in got) != want.locked:
        yield 'locked_tid %s, printed %s' % (got.get('locked_tid'), want.locked)
    by = got.get('created_by')
    creator = by and (by.get('function'), by.get('file'), by.get('line'), by.get('goid'))
    if creator != want.creator:
        yield 'created by %s, printed %s' % (creator, want.creator)
    frames = [f for f in got['frames'] if is_go(f)]
    same = frames[len(frames) - len(want.frames):] if len(frames) >= len(want.frames) else frames
    have = [Frame(f.get('function'), f.get('file'), f.get('line'), w.pc and f['pc'], w.sp and f['sp'])
            for f, w in zip(same, want.frames)]
    if have != want.frames:
        yield 'frames\n    %s\nprinted\n    %s' % ('\n    '.join(map(str, have)),
                                                  '\n    '.join(map(str, want.frames)))


class Goroutines(unittest.TestCase):
    maxDiff = None

    def run_stub(self, *args):
        done = gocore.run_stub('goroutines', *args, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotRegex(done.stderr, gocore.SANITIZER_REPORT)
        return done.stdout

    @staticmethod
    def printed(case):
        """What the program wrote to standard error; expect.txt has only the beginning of very long ones."""
        whole = os.path.join(case.dir, 'stderr')
        if os.path.exists(whole):
            with open(whole, errors='replace') as f:
                return f.read()
        return case.expect.sections.get('stderr', '')

    def of_case(self, case, *args):
        return self.run_stub(case.core, case.bin, '--sysroot=' + case.sysroot, *args)

    def json_of(self, case, *args):
        return json.loads(self.of_case(case, '--json', *args))


class Truth(Goroutines):
    """Against what the runtime itself printed."""

    def compare(self, case, document):
        allowed = exceptions()[str(case)]
        found = {g['goid']: g for g in document['goroutines']}
        wrong, count = [], 0
        for want in tracebacks(self.printed(case)):
            count += 1
            if str(want.goid) in allowed:
                continue
            if want.goid not in found:
                wrong.append('goroutine %d is not listed' % want.goid)
                continue
            wrong += ['goroutine %d: %s' % (want.goid, d)
                      for d in differences(want, found[want.goid], 'minutes' not in allowed)]
        self.assertEqual(wrong, [], '%s: %d of %d' % (case, len(wrong), count))
        return count

    def test_json(self):
        checked = 0
        for case in cases():
            with self.subTest(str(case)):
                checked += self.compare(case, self.json_of(case))
        self.assertGreater(checked, 50)

    def test_without_program(self):
        """The core alone says the same, or that it lacks the names; it never invents any."""
        for case in cases():
            with self.subTest(str(case)):
                with tempfile.TemporaryDirectory() as empty:
                    core = os.path.join(empty, 'core')
                    os.symlink(os.path.realpath(case.core), core)
                    document = json.loads(self.run_stub(core, '--json'))
                if any('function' in f for g in document['goroutines'] for f in g['frames'] if is_go(f)):
                    self.compare(case, document)
                elif 'cut' not in case.name:
                    self.assertIn('stacks', [p['where'] for p in document['problems']])
                    with_program = self.json_of(case)
                    self.assertEqual([g['goid'] for g in document['goroutines']],
                                     [g['goid'] for g in with_program['goroutines']])

    def test_without_inlined_calls(self):
        """Kernels dump the tables of a PIE without the trees of inlined calls: it is said that those lack."""
        case = gocore.Case('x86_64', 'segv-go1.19-delve')
        with open(case.bin, 'rb') as f:
            table = section(f.read(), b'.gopclntab')
        with tempfile.TemporaryDirectory() as empty:
            core = os.path.join(empty, 'core')
            with open(case.core, 'rb') as whole, open(core, 'wb') as out:
                out.write(without_start(whole.read(), table))
            document = json.loads(self.run_stub(core, '--json'))
        frames = [f for g in document['goroutines'] for f in g['frames']]
        self.assertIn('main.main', [f['function'] for f in frames])
        self.assertFalse(any('inlined' in f for f in frames))
        self.assertEqual([p['where'] for p in document['problems']].count('inlined calls'), 1)

    def test_broken_stacks(self):
        """Where the stack of a goroutine that waits leads nowhere, it is said where it ends."""
        case = gocore.Case('x86_64', 'segv-go1.26')
        waiting = [g for g in self.json_of(case)['goroutines'] if 'tid' not in g and len(g['frames']) > 2]
        caller = next(f for f in waiting[0]['frames'] if f['sp'] != waiting[0]['frames'][0]['sp'])
        with open(case.core, 'rb') as f:
            broken = bytearray(f.read())
        at = offset_of(broken, int(caller['sp'], 16) - 8)
        self.assertEqual(struct.unpack_from('<Q', broken, at)[0], int(caller['pc'], 16))
        struct.pack_into('<Q', broken, at, 0x1234)
        with tempfile.TemporaryDirectory() as tmp:
            core = os.path.join(tmp, 'core')
            with open(core, 'wb') as f:
                f.write(broken)
            document = json.loads(self.run_stub(core, case.bin, '--json'))
        self.assertEqual([(p['where'], '0x1234 ' in p['what']) for p in document['problems']],
                         [('goroutine %d' % waiting[0]['goid'], True)])

    def test_text(self):
        """The text is the same traceback, byte for byte but for arguments."""
        for case in cases():
            with self.subTest(str(case)):
                allowed = exceptions()[str(case)]
                printed = self.blocks(self.printed(case), allowed)
                text = self.of_case(case)
                got = self.blocks(text, allowed)
                for goid, want in printed.items():
                    self.assertEqual(self.go_lines(got.get(goid), len(want)), want, 'goroutine ' + goid)
                if not re.search('cgocrash|hello', case.name) and printed and 'many' not in case.name:
                    self.assertEqual(self.head(text), self.head(self.printed(case)), str(case))
                    self.assertEqual(list(got), list(printed), '%s: order' % case)

    @staticmethod
    def head(text):
        """What comes before the first goroutine: why it died."""
        return text[:re.search('^goroutine ', text, flags=re.M).start()]

    @staticmethod
    def blocks(text, allowed):
        out = {}
        for block in re.split(r'\n\n', text):
            lines = block.strip('\n').splitlines()
            m = HEADER.fullmatch(lines[0]) if lines else None
            if not m or m[1] == '0' or m[1] in allowed:
                continue
            body = [without_arguments(line) + '(...)' if after.startswith('\t') and line.endswith(')') else line
                    for line, after in zip(lines[1:], lines[2:] + [''])]
            while body and not re.match(r'\t|created by|.*\(\.\.\.\)$', body[-1]):
                body.pop()
            first = re.sub(r', \d+ minutes', '', lines[0]) if 'minutes' in allowed else lines[0]
            out.setdefault(m[1], [first] + body)
        return out

    @staticmethod
    def go_lines(block, count):
        """Without the frames above that the runtime could not print: those of C, and what C called."""
        if block and any(re.match(r'\t(?!.*\.(go|s):|<autogenerated>:)', line) for line in block):
            return block[:1] + block[1 - count:]
        return block


class Document(Goroutines):
    @unittest.skipUnless(jsonschema, 'python3-jsonschema is not installed')
    def test_schema(self):
        with open(os.path.join(gocore.SOURCE, 'doc', 'schema', 'goroutines-1.schema.json')) as f:
            schema = json.load(f)
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(self.closed(schema))
        for case in cases():
            with self.subTest(str(case)):
                for options in ([], ['--group']):
                    document = self.json_of(case, *options)
                    if 'many' in case.name and not options:
                        document['goroutines'] = document['goroutines'][:100]
                    self.assertEqual([e.message[:300] for e in validator.iter_errors(document)], [])
                    self.assertEqual((list(document)[0], list(document)[-1]), ('schema', 'problems'))

    def closed(self, schema):
        """Keys that the schema does not describe are errors here."""
        if isinstance(schema, dict):
            out = {key: self.closed(value) for key, value in schema.items()}
            if 'properties' in schema and 'additionalProperties' not in schema:
                out['additionalProperties'] = False
            return out
        return [self.closed(value) for value in schema] if isinstance(schema, list) else schema

    def test_groups(self):
        """Groups are the goroutines, joined where state, creator and stack are equal."""
        for case in cases():
            with self.subTest(str(case)):
                want = collections.defaultdict(list)
                for g in self.json_of(case)['goroutines']:
                    by = g.get('created_by', {})
                    want[g['status'], g.get('wait_reason'), 'locked_tid' in g, by.get('function'), by.get('line'),
                         tuple((f['pc'], f.get('function'), f.get('line')) for f in g['frames'])].append(g['goid'])
                groups = self.json_of(case, '--group')['groups']
                self.assertEqual(sorted(g['goids'] for g in groups), sorted(want.values()))
                counts = [g['count'] for g in groups]
                self.assertEqual(counts, [len(g['goids']) for g in groups])
                self.assertEqual(counts, sorted(counts, reverse=True))
                text = self.of_case(case, '--group')
                self.assertEqual([int(n) for n in re.findall(r'^(\d+) goroutines? \[', text, flags=re.M)], counts)

    def test_filters(self):
        for case in cases():
            with self.subTest(str(case)):
                everything = self.json_of(case)['goroutines']
                for state in {g.get('wait_reason') or g['status'] for g in everything} | {'waiting'}:
                    got = self.json_of(case, '--state=' + state)['goroutines']
                    self.assertEqual(got, [g for g in everything if state in (g['status'], g.get('wait_reason'))])
                pattern = r'^main\.main$|chan(recv|send)[12]?$'
                got = self.json_of(case, '--function=' + pattern)['goroutines']
                self.assertEqual(got, [g for g in everything
                                       if any(re.search(pattern, f.get('function', '')) for f in g['frames'])])
                break

    def test_usage(self):
        for args in (['--format=xml', 'core'], ['--function=(', 'core'], ['--state=', 'core'], [],
                     ['--format=pprof', '--group', 'core']):
            self.assertEqual(gocore.run_stub('goroutines', *args).returncode, 2, args)


class Formats(Goroutines):
    def test_folded(self):
        for case in cases():
            with self.subTest(str(case)):
                want = collections.Counter()
                for g in self.json_of(case)['goroutines']:
                    want[';'.join(f.get('function', f['pc']).replace(';', r'\x3b')
                                  for f in reversed(g['frames'])) or '[no stack]'] += 1
                got = dict(line.rsplit(' ', 1) for line in self.of_case(case, '--format=folded').splitlines())
                self.assertEqual({k: int(v) for k, v in got.items()}, want)
                grouped = self.of_case(case, '--format=folded', '--group').splitlines()
                self.assertEqual(sum(int(line.rsplit(' ', 1)[1]) for line in grouped), sum(want.values()))
                self.assertTrue(all(line.startswith('[') for line in grouped))

    @unittest.skipUnless(shutil.which('go'), 'go is not installed')
    def test_pprof(self):
        for case in cases():
            with self.subTest(str(case)):
                goroutines = self.json_of(case)['goroutines']
                with tempfile.TemporaryDirectory() as tmp:
                    path = os.path.join(tmp, 'profile.pb.gz')
                    with open(path, 'wb') as out:
                        subprocess.run([*gocore.STUB, 'goroutines', case.core, case.bin, '--format=pprof'],
                                       stdout=out, stderr=subprocess.DEVNULL, check=True)
                    gzip.open(path).read()
                    top, traces, tags = (self.pprof(tmp, path, what) for what in ('-top', '-traces', '-tags'))
                self.assertRegex(top, r'Type: goroutine\n')
                self.assertRegex(top, r'of %d total|100%% of %d' % (len(goroutines), len(goroutines)))
                want = collections.Counter()
                for g in goroutines:
                    want[g.get('wait_reason') or g['status'],
                         tuple(f.get('function') for f in g['frames'])] += 1
                self.assertEqual(self.samples(traces), want)
                for state in {state for state, _ in want}:
                    self.assertIn(': ' + state + '\n', tags)

    def pprof(self, tmp, path, what):
        done = subprocess.run(['go', 'tool', 'pprof', '-symbolize=none', what, '-nodefraction=0', path],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=dict(os.environ, PPROF_TMPDIR=tmp, HOME=tmp))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    @staticmethod
    def samples(traces):
        """go tool pprof -traces: blocks of labels, then the count and the leaf, then the callers."""
        out = collections.Counter()
        for block in re.split(r'-----------\+-+\n', traces)[1:]:
            state = re.search(r'^ *state: +(.*)$', block, flags=re.M)
            stack = re.search(r'^ +(\d+) +(\S.*)\n((?: +\S.*\n)*)', block, flags=re.M)
            if not stack:
                continue
            names = [stack[2]] + [line.strip() for line in stack[3].splitlines()]
            out[state[1].strip(), tuple(re.sub(r' \(inline\)$', '', n) for n in names)] += int(stack[1])
        return out


if __name__ == '__main__':
    gocore.main()
