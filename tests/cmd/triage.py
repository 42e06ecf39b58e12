#!/usr/bin/env python3
"""triage on real cores: lines against the schema and against what the programs said of themselves,
signatures of equal and of different faults, and what happens when something goes wrong.

GOCORE_UNPACKED names a folder ARCH/CASE/{core,bin,expect.txt}, ARCH/sysroot to test as well as the bundled cores.
"""
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

try:
    import jsonschema
except ImportError:
    jsonschema = None

NO_DEBUG = os.path.join(gocore.FIXTURES, 'no-debug-files')

# What the sources in cores/src/c call at the fault; expect.txt names the function for the others.
C_FAULTS = {'abort': 'fail', 'plugin': 'plugin_crash', 'arm-mte': 'die_of_wrong_tag', 'arm-sve': 'die_with_sve'}

# The same program was killed in the same place: its cores differ in how they were written.
VARIANT = re.compile(r'-(qemu-user|filter\w\w|delve|default|gcore|pac|O2-stripped|cut-\w+)')


class Bundled:
    """A case of the source tree, unpacked."""

    def __init__(self, case):
        self.arch, self.name, self.core, self.expect = case.arch, case.name, case.core, case.expect
        self.bins = None
        if 'cut' not in case.name:
            case.bin
            self.bins = case.libraries()


class Unpacked:
    def __init__(self, base, arch, name):
        self.arch, self.name = arch, name
        self.core = os.path.join(base, arch, name, 'core')
        self.bins = os.path.join(base, arch, name)
        with open(os.path.join(base, arch, name, 'expect.txt'), errors='replace') as f:
            self.expect = gocore.Expect(f.read())


def bundled():
    for arch in gocore.ARCHES:
        base = os.path.join(gocore.CORES, arch)
        for name in sorted(os.listdir(base)):
            if os.path.exists(os.path.join(base, name, 'core.zst')):
                yield Bundled(gocore.Case(arch, name))


def unpacked():
    base = os.environ.get('GOCORE_UNPACKED')
    for arch in gocore.ARCHES if base else ():
        for name in sorted(os.listdir(os.path.join(base, arch))):
            if os.path.exists(os.path.join(base, arch, name, 'core')):
                yield Unpacked(base, arch, name)


def is_whole(case):
    return 'cut' not in case.name


def make_root(arch, cases):
    """The file tree that the programs ran in, by whose paths they are found where a core has no build IDs."""
    root = os.path.join(gocore.FIXTURES, arch, 'root-triage')
    programs = os.path.join(root, 't')
    if not os.path.isdir(root):
        with tempfile.TemporaryDirectory(dir=os.path.join(gocore.FIXTURES, arch)) as tmp:
            shutil.copytree(gocore.sysroot(arch), os.path.join(tmp, 'new'), symlinks=True)
            try:
                os.rename(os.path.join(tmp, 'new'), root)
            except OSError:
                pass
    os.makedirs(programs, exist_ok=True)
    for case in cases:
        name = case.expect.head.get('program')
        if case.arch != arch or not case.bins or not name:
            continue
        for file, target in [('bin', os.path.basename(name))] + [(f, f) for f in os.listdir(case.bins) if '.so' in f]:
            source, target = os.path.join(case.bins, file), os.path.join(programs, target)
            if os.path.exists(source) and not os.path.exists(target):
                new = '%s.%d' % (target, os.getpid())
                shutil.copy(source, new)
                os.replace(new, target)
    return root


def true_function(case):
    """The function that the fault is in, by expect.txt; None: nothing crashed, the program was told to end."""
    text, stderr = '\n'.join(case.expect.stdout), case.expect.sections.get('stderr', '')
    m = re.search(r'^crash = .* in (\w+)\(\)', text, flags=re.M)
    if m:
        return m[1]
    for name, function in C_FAULTS.items():
        if re.fullmatch(name + r'(-qemu-user)?', case.name):
            return function
    m = re.search(r'^goroutine \d+ .*\[running.*\]:\n((?:.+\n)+)', stderr, flags=re.M)
    if m and stderr.lstrip().startswith('panic'):
        functions = [line for line in m[1].splitlines() if line and not line.startswith('\t')]
        names = [re.sub(r'\([^()]*\)$', '', re.sub(r'\(\{.*\}?.*\)$', '', f)) for f in functions]
        return next(n for n in names if n != 'panic' and not n.startswith('runtime.'))
    return None


def true_pc(case):
    """Of a fault in C code that the Go runtime reported; the programs are not moved."""
    m = re.search(r'\bpc=0x([0-9a-f]+)', case.expect.sections.get('stderr', ''), flags=re.I)
    return int(m[1], 16) if m and 'cgocrash' in case.name else None


def fault_of(case):
    """Cases with the same answer died of the same fault, on any architecture."""
    return VARIANT.sub('', case.name)


def closed(schema):
    """The same schema, but keys that it does not describe are errors."""
    if isinstance(schema, dict):
        out = {key: closed(value) for key, value in schema.items()}
        if schema.get('type') == 'object' and 'properties' in schema:
            out['additionalProperties'] = False
        return out
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


def validator(kind):
    with open(os.path.join(gocore.SOURCE, 'doc', 'schema', kind + '-1.schema.json')) as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(closed(schema))


def without_time(line):
    return {key: value for key, value in line.items() if key != 'elapsed_ms'}


def by_core(lines):
    return {line['core']: without_time(line) for line in lines}


class Triage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cases = list(bundled()) + list(unpacked())
        cls.options = ['--debug-dir=' + NO_DEBUG, '--timeout=%g' % (30 * gocore.SLOW)]
        cls.options += ['--bin-dir=' + case.bins for case in bundled() if case.bins]
        cls.options += ['--sysroot=' + make_root(arch, cls.cases) for arch in gocore.ARCHES]
        if os.environ.get('GOCORE_UNPACKED'):
            cls.options.append('--bin-dir=' + os.environ['GOCORE_UNPACKED'])

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix='gct')
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.tmp, *names)

    def run_stub(self, *args, status=0, **kwargs):
        kwargs.setdefault('timeout', 120)
        done = gocore.run_stub('triage', *args, **kwargs)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertNotRegex(done.stderr, gocore.SANITIZER_REPORT)
        return done

    def lines(self, *args, **kwargs):
        return [json.loads(line) for line in self.run_stub(*args, *self.options, **kwargs).stdout.splitlines()]

    def read(self, path):
        with open(path) as f:
            return [json.loads(line) for line in f]

    def farm(self, copies):
        """A folder with many names of few cores."""
        folder = self.path('farm')
        os.mkdir(folder)
        small = [case for case in bundled() if is_whole(case)]
        for i in range(copies):
            case = small[i % len(small)]
            os.symlink(case.core, os.path.join(folder, '%04d.%s' % (i, case.name)))
        return folder


class Lines(Triage):
    """All cores in one run."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = gocore.run_stub('triage', *[case.core for case in cls.cases], *cls.options, timeout=240)
        cls.status, cls.stderr = done.returncode, done.stderr
        cls.all = {line['core']: line for line in map(json.loads, done.stdout.splitlines())}

    def line_of(self, case):
        return self.all[case.core]

    def test_every_core_has_a_line(self):
        self.assertEqual(sorted(self.all), sorted(case.core for case in self.cases))
        self.assertEqual(self.status, 3, self.stderr) # the ones that are cut before any thread
        for case in self.cases:
            line = self.line_of(case)
            with self.subTest(core=case.core):
                self.assertEqual('error' in line, bool(re.search('cut-(ehdr|phdrs)', case.name)))
                self.assertEqual(line['size'], os.stat(case.core).st_size)
                self.assertEqual(line['inode'], os.stat(case.core).st_ino)
                if not is_whole(case):
                    self.assertTrue(line['problems'])

    @unittest.skipUnless(jsonschema, 'python3-jsonschema is not installed')
    def test_schema(self):
        check = validator('triage')
        for line in self.all.values():
            errors = ['%s: %s' % ('/'.join(map(str, e.absolute_path)), e.message[:200])
                      for e in check.iter_errors(line)]
            self.assertEqual(errors, [], line['core'])
        self.assertFalse(check.is_valid(dict(next(iter(self.all.values())), unheard_of=1)))

    def test_crashed_function(self):
        seen = 0
        for case in filter(is_whole, self.cases):
            crashed, truth = self.line_of(case)['crashed'], true_function(case)
            with self.subTest(core=case.core):
                if 'stripped' in case.name:
                    self.assertNotIn('function', crashed)
                elif truth:
                    self.assertEqual(crashed['function'], truth)
                    seen += 1
                pc = true_pc(case)
                if pc:
                    frame = crashed['frames'][len(self.line_of(case)['signature']['skipped'])]
                    # Go 1.19 makes a call of sigpanic of the fault: the pc is that of the fault all the same
                    self.assertEqual(int(frame['module_offset'], 16), pc)
                    seen += 1
                if case.expect.head.get('signal_sent', '-').startswith('QUIT'):
                    self.assertEqual(self.line_of(case)['signature']['kind'], 'goroutines')
        self.assertGreater(seen, 15)

    def test_facts(self):
        for case in filter(is_whole, self.cases):
            line, head = self.line_of(case), case.expect.head
            with self.subTest(core=case.core):
                self.assertEqual(line['arch'], case.arch)
                self.assertEqual(line['threads'], len(case.expect.tids) or line['threads'])
                self.assertEqual(line['signal']['number'] if 'signal' in line else 0,
                                 int(head['core_signal']) if head['core_signal'].isdigit() else 0)

    def test_same_fault_same_top(self):
        tops = {}
        for case in filter(is_whole, self.cases):
            if 'stripped' in case.name or 'gcore' in case.name: # no names; alive
                continue
            tops.setdefault(fault_of(case), {}).setdefault(self.line_of(case)['signature']['top'],
                                                            []).append(case.core)
        for fault, found in tops.items():
            self.assertEqual(len(found), 1, '%s: %s' % (fault, found))
        both = [fault for fault in tops if len({case.arch for case in self.cases if fault_of(case) == fault}) == 2]
        self.assertGreaterEqual(len(both), 3)

    def test_different_faults_differ(self):
        """exact: one program, one fault. A core that was written in another way does not change it."""
        faults = {}
        for case in filter(is_whole, self.cases):
            if 'gcore' in case.name:
                continue
            line = self.line_of(case)
            build = 'pac' if 'pac' in case.name else 'stripped' if 'stripped' in case.name else ''
            faults.setdefault(line['signature']['exact'], set()).add((fault_of(case), case.arch, build))
        for exact, found in faults.items():
            self.assertEqual(len(found), 1, '%s: %s' % (exact, found))
        self.assertEqual(len(faults), len({next(iter(found)) for found in faults.values()}))

    def test_no_address(self):
        """Of no mapping of the process."""
        for case in filter(is_whole, self.cases):
            signature = self.line_of(case)['signature']
            numbers = [int(n, 16) for n in re.findall('0x([0-9a-f]+)', signature['top'] + ' ' + signature['site'])]
            moved = [row for row in case.expect.maps() if row[0] >= 1 << 32]
            for n in numbers:
                self.assertFalse(any(start <= n < end for start, end, *_ in moved), signature)

    def test_again(self):
        again = self.lines('-j1', *[case.core for case in self.cases], status=3)
        self.assertEqual(by_core(again), by_core(self.all.values()))

    def test_ordered(self):
        cores = [case.core for case in self.cases][::-1]
        self.assertEqual([line['core'] for line in self.lines('--ordered', '-j3', *cores, status=3)], cores)

    def test_packed(self):
        """The compressed cores say the same; the other files beside them are no cores."""
        lines = {line['core']: line for line in self.lines(gocore.CORES, status=3)}
        whole = [case for case in bundled() if is_whole(case)]
        self.assertEqual({core for core, line in lines.items() if 'error' not in line and 'cut-' not in core},
                         {os.path.join(gocore.CORES, c.arch, c.name, 'core.zst') for c in whole})
        differ = ('core', 'size', 'inode', 'mtime', 'time', 'elapsed_ms')
        for case in whole:
            packed = lines[os.path.join(gocore.CORES, case.arch, case.name, 'core.zst')]
            self.assertEqual({k: v for k, v in packed.items() if k not in differ},
                             {k: v for k, v in self.line_of(case).items() if k not in differ})

    def test_signature_of_snapshot(self):
        case = next(case for case in self.cases if case.name == 'abort')
        done = gocore.run_stub('snapshot', '--json', case.core,
                               *[o for o in self.options if not o.startswith('--timeout')])
        self.assertEqual(json.loads(done.stdout)['signature'], self.line_of(case)['signature'])

    def test_unsure_paths(self):
        """The list: lines, NULs, standard input."""
        cores = [case.core for case in self.cases[:3]]
        for text in ('\n'.join(cores), '\n'.join(cores) + '\n', '\0'.join(cores), '\0'.join(cores) + '\0'):
            with open(self.path('list'), 'w') as f:
                f.write(text)
            lines = self.lines('--ordered', '--files-from=' + self.path('list'))
            self.assertEqual([line['core'] for line in lines], cores)
        again = self.lines('--ordered', '--files-from=' + self.path('list'), *cores[::-1])
        self.assertEqual([line['core'] for line in again], cores) # each once

    def test_timings(self):
        lines = self.lines('--timings', *[case.core for case in self.cases[:4]])
        for line in lines:
            steps = line['timings_ms']
            self.assertEqual(set(steps), {'open', 'notes', 'tables', 'unwind', 'symbols', 'signature', 'goroutines', 'output'})
            self.assertGreater(steps['unwind'] + steps['notes'], 0)
            # output goes on behind the end of elapsed_ms; what another process took between two steps is in none of them
            self.assertLessEqual(sum(steps.values()) - steps['output'], line['elapsed_ms'] + 0.01)
            if jsonschema:
                self.assertEqual([e.message for e in validator('triage').iter_errors(line)], [])

    def test_strange_names(self):
        """Names that JSON cannot hold, or that would break a line; they are known again."""
        folder = self.path('names')
        os.mkdir(folder)
        names = [b'new\nline', b'bad\xff\xfe', b'bad\xff\xfd', b'quo"te', b'esc\x1b[31m', b'-dash', '☃'.encode()]
        for name in names:
            os.symlink(self.cases[0].core, os.path.join(os.fsencode(folder), name))
        out = self.path('out')
        self.run_stub(folder, *self.options, '-o', out)
        self.assertEqual(len(self.read(out)), len(names))
        self.run_stub(folder, *self.options, '--resume', out)
        lines = self.read(out)
        self.assertEqual(len(lines), len(names))
        for name in names:
            if b'\xff' not in name:
                self.assertIn(os.path.join(folder, name.decode()), {line['core'] for line in lines})


class Groups(Triage):
    def test_groups(self):
        cores = [case.core for case in bundled()]
        document = json.loads(self.run_stub('--group', '--json', *cores, *self.options, status=3).stdout)
        if jsonschema:
            self.assertEqual([e.message for e in validator('triage-groups').iter_errors(document)], [])
        self.assertEqual(document['cores'], len(cores))
        self.assertEqual(sum(g['count'] for g in document['groups']), len(cores))
        threads = next(g for g in document['groups'] if g.get('signature', {}).get('top') == 'c < b < a < crasher')
        self.assertEqual(set(threads['architectures']), set(gocore.ARCHES))
        self.assertEqual(document['groups'][0]['count'], max(g['count'] for g in document['groups']))

    def test_files_of_lines(self):
        """Two halves and a line that is in both are one run."""
        cores = [case.core for case in bundled()]
        out = self.path('one.ndjson'), self.path('two.ndjson')
        self.run_stub(*cores[:8], *self.options, '-o', out[0])
        self.run_stub(*cores[7:], *self.options, '-o', out[1], status=3)
        one = json.loads(self.run_stub('--group', '--json', *out).stdout)
        self.assertEqual((one['cores'], one['duplicates']), (len(cores), 1))
        text = self.run_stub('--group', *out).stdout
        self.assertIn('%d cores in %d groups' % (len(cores), len(one['groups'])), text)
        self.assertIn('c < b < a < crasher', text)


class Parts(Triage):
    def test_shards(self):
        folder = self.farm(60)
        whole = by_core(self.lines(folder))
        parts = [by_core(self.lines(folder, '--shard=%d/4' % k)) for k in (1, 2, 3, 4)]
        self.assertEqual(sum(map(len, parts)), 60)
        self.assertEqual({k: v for part in parts for k, v in part.items()}, whole)
        self.assertTrue(all(0 < len(part) < 60 for part in parts))

    def test_wrong_usage(self):
        for args in ((), ('--shard=5/4', 'x'), ('--shard=x', 'x'), ('-j0', 'x'), ('--group=no', 'x'),
                     ('--timeout=-1', 'x'), ('--memory-limit=1Q', 'x'), ('--json', 'x')):
            self.run_stub(*args, status=2)


class Trouble(Triage):
    """One clear line each."""

    def good(self):
        return next(case for case in bundled() if case.name == 'threads').core

    def test_files(self):
        os.mkfifo(self.path('fifo'))
        with open(self.path('rubbish'), 'wb') as f:
            f.write(bytes(range(256)) * 100)
        open(self.path('empty'), 'w').close()
        with open(self.good(), 'rb') as f, open(self.path('damaged'), 'wb') as g:
            g.write(f.read(64) + os.urandom(100000))
        os.mkdir(self.path('folder'))
        names = ['fifo', 'rubbish', 'empty', 'damaged', 'missing']
        lines = {line['core']: line for line in
                 self.lines(*map(self.path, names), self.good(), status=3)}
        self.assertNotIn('error', lines[self.good()])
        for name, text in (('fifo', 'is a FIFO'), ('rubbish', 'not an ELF file'), ('empty', 'is empty'),
                           ('damaged', ''), ('missing', 'No such file')):
            self.assertIn(text, lines[self.path(name)]['error']['text'])
            self.assertEqual(lines[self.path(name)]['error']['kind'], 'unusable')

    def test_folder(self):
        """What is no core in a folder is left out; links that lead back are followed once."""
        os.makedirs(self.path('d', 'e'))
        os.symlink('..', self.path('d', 'e', 'up'))
        os.symlink('nowhere', self.path('d', 'dangling'))
        os.symlink(self.good(), self.path('d', 'e', 'core'))
        os.mkfifo(self.path('d', 'fifo'))
        with open(self.path('d', 'core.txt'), 'w') as f:
            f.write('no core\n')
        done = self.run_stub(self.path('d'), *self.options)
        self.assertEqual([json.loads(l)['core'] for l in done.stdout.splitlines()], [self.path('d', 'e', 'core')])
        messages = done.stderr.splitlines()
        self.assertEqual(len(messages), 3, done.stderr)
        for name, text in (('up', 'leads back'), ('dangling', 'link to nothing'), ('fifo', 'is a FIFO')):
            self.assertEqual(len([m for m in messages if name in m and text in m]), 1, done.stderr)

    def test_unreadable(self):
        shutil.copy(self.good(), self.path('secret'))
        os.chmod(self.path('secret'), 0)
        os.chmod(self.tmp, 0o755)
        become = (lambda: os.setuid(65534)) if os.geteuid() == 0 else None # root reads everything
        try:
            done = gocore.run_stub('triage', self.tmp, preexec_fn=become)
        except PermissionError:
            self.skipTest('nobody may run the program')
        line, = map(json.loads, done.stdout.splitlines())
        self.assertIn('Permission denied', line['error']['text'])
        self.assertEqual(done.returncode, 3)

    def test_full_disk(self):
        if os.path.exists('/dev/full'):
            done = self.run_stub(self.good(), *self.options, '-o', '/dev/full', status=1)
            self.assertRegex(done.stderr, r'\A.*/dev/full: writing failed: No space left on device\n\Z')

    def test_limit_of_a_file(self):
        """A disk that gets full in the middle of a line: the lines before stay, and whole."""
        import resource
        limit = 9000
        done = gocore.run_stub('triage', self.farm(20), *self.options, '-o', self.path('out'), timeout=60,
                               preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                                   resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn('File too large', done.stderr)
        with open(self.path('out')) as f:
            text = f.read()
        self.assertTrue(0 < len(text) <= limit and text.endswith('\n'))
        for line in text.splitlines():
            json.loads(line)

    def test_memory_limit(self):
        core = next(case for case in bundled() if case.name == 'panic-go1.24').core
        done = gocore.run_stub('triage', core, *self.options, '--memory-limit=1K', timeout=60)
        if 'error' not in done.stdout:
            self.skipTest('no limits in this build (sanitizer)')
        line, = map(json.loads, done.stdout.splitlines())
        self.assertIn(line['error']['kind'], ('memory', 'died'))
        self.assertEqual(done.returncode, 3)

    def test_timeout(self):
        """A core that takes too long costs its own line."""
        slow, fast = self.path('slow'), self.good()
        with open(self.good(), 'rb') as f:
            head = f.read()
        with open(slow, 'wb') as f: # takes long to unpack
            subprocess.run(['gzip', '-1'], stdout=f, check=True,
                           input=head + b'\0' * (256 << 20))
        options = [o for o in self.options if not o.startswith('--timeout')]
        done = self.run_stub(slow, '--timeout=0.05', '-j1', *options, status=3)
        line, = map(json.loads, done.stdout.splitlines())
        self.assertEqual(line['error']['kind'], 'timeout')
        lines = by_core(map(json.loads, self.run_stub('--timeout=%g' % (60 * gocore.SLOW), slow, fast, *options).stdout.splitlines()))
        self.assertNotIn('error', lines[fast])


class Interrupted(Triage):
    def start(self, *args):
        return subprocess.Popen([*gocore.STUB, 'triage', *args, *self.options], stderr=subprocess.PIPE,
                                stdout=subprocess.DEVNULL, text=True)

    def lines_in(self, path):
        try:
            with open(path, 'rb') as f:
                return f.read().count(b'\n')
        except FileNotFoundError:
            return 0

    def interrupt(self, how, folder, out):
        """End a run in its middle. @return False if it was faster"""
        proc = self.start(folder, '-j1', '-o', out)
        gocore.eventually(lambda: self.lines_in(out) > 20 or proc.poll() is not None)
        proc.send_signal(how)
        proc.communicate(timeout=20 * gocore.SLOW)
        self.assertIn(proc.returncode, (-how, 0))
        return proc.returncode != 0

    def test_resume(self):
        folder = self.farm(600)
        whole = by_core(self.lines(folder))
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            out = self.path('out.%d' % how)
            self.assertTrue(self.interrupt(how, folder, out), 'it was over too soon')
            with open(out) as f:
                text = f.read()
            if how != signal.SIGKILL:
                self.assertTrue(text.endswith('\n'))
            before = text.count('\n')
            self.assertLess(before, 600)
            self.run_stub(folder, *self.options, '--resume=' + out)
            lines = self.read(out)
            self.assertEqual(len(lines), 600) # none twice
            self.assertEqual(by_core(lines), whole)

    def test_half_line(self):
        folder, out = self.farm(10), self.path('out')
        whole = self.lines(folder)
        with open(out, 'w') as f:
            f.write('\n'.join(json.dumps(line) for line in whole[:4]) + '\n' + json.dumps(whole[4])[:100])
        done = self.run_stub(folder, *self.options, '--resume=' + out)
        self.assertRegex(done.stderr, 'line 5 is only half there')
        self.assertEqual(by_core(self.read(out)), by_core(whole))
        self.assertEqual(self.run_stub(folder, *self.options, '--resume=' + out).stderr, '')
        self.assertEqual(len(self.read(out)), 10)

    def test_one_run_at_a_time(self):
        """Two that go on with one file would read the same cores; a line that another run has written stays."""
        out, core = self.path('out'), next(bundled()).core
        self.run_stub(core, *self.options, '-o', out)
        before = self.read(out)
        with open(out) as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            for option in ('-o', '--resume'):
                done = self.run_stub(core, *self.options, option, out, status=1)
                self.assertRegex(done.stderr, r'\A.*out: another run is writing to it\n\Z')
        self.assertEqual(self.read(out), before)
        self.run_stub(core, *self.options, '--resume', out)

    def test_small_disk(self):
        """Full in the middle; with more room the run goes on."""
        if os.geteuid() != 0:
            self.skipTest('needs root to mount a small disk')
        disk, folder = self.path('disk'), self.farm(30)
        os.mkdir(disk)
        mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', disk], stderr=subprocess.PIPE)
        if mounted.returncode != 0:
            self.skipTest('no disk can be mounted here')
        self.addCleanup(subprocess.run, ['umount', disk], check=False)
        out = os.path.join(disk, 'out')
        done = self.run_stub(folder, *self.options, '-o', out, status=1)
        self.assertRegex(done.stderr, r'\A.*out: writing failed: No space left on device; its lines are whole: '
                                      r'go on with --resume=.*\n\Z')
        self.assertTrue(0 < len(self.read(out)) < 30)
        subprocess.run(['mount', '-o', 'remount,size=4m', disk], check=True)
        self.run_stub(folder, *self.options, '--resume', out)
        self.assertEqual(by_core(self.read(out)), by_core(self.lines(folder)))

    def test_changed_core(self):
        """A core that was replaced since is read again."""
        out, core = self.path('out'), self.path('core')
        shutil.copy(next(bundled()).core, core)
        self.run_stub(core, *self.options, '-o', out)
        os.utime(core, (1, 1))
        self.run_stub(core, *self.options, '--resume=' + out)
        self.assertEqual([line['time'] for line in self.read(out)][1], '1970-01-01T00:00:01Z')

    def test_worker_killed(self):
        """By whoever it was: the core it read has a line, the others too."""
        folder, out = self.farm(600), self.path('out')
        proc = self.start(folder, '-j2', '-o', out)
        gocore.eventually(lambda: self.lines_in(out) > 20 or proc.poll() is not None)
        children = '/proc/%d/task/%d/children' % (proc.pid, proc.pid)
        killed = 0
        for _ in range(3):
            try:
                with open(children) as f:
                    pids = f.read().split()
                os.kill(int(pids[0]), signal.SIGKILL)
                killed += 1
            except (OSError, IndexError):
                break
            time.sleep(0.05)
        proc.communicate(timeout=120 * gocore.SLOW)
        lines = self.read(out)
        self.assertEqual(len(lines), 600)
        errors = [line['error'] for line in lines if 'error' in line]
        self.assertEqual(proc.returncode, 3 if errors else 0)
        self.assertTrue(killed == 0 or 0 < len(errors) <= killed)
        for error in errors:
            self.assertIn('died of SIGKILL', error['text'])


if __name__ == '__main__':
    gocore.main()
