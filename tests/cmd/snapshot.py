#!/usr/bin/env python3
"""snapshot on real cores: its JSON against the schema, against what gdb's own core target shows
(registers, code, stacks), and against what the programs said of themselves before they died."""
import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

try:
    import jsonschema
except ImportError:
    jsonschema = None

# A folder that is not there: whether this host has debug files of the C library must not matter.
NO_DEBUG = os.path.join(gocore.FIXTURES, 'no-debug-files')

# What gdb shows of a core without relocating the program: no model there (cores/README.md).
GDB_IS_LOST = re.compile('filter21|qemu-user|delve')


# Of the names of one address gdb takes the one that comes last in the string table; we take the
# one that others can link to.
SAME_ADDRESS = {'__libc_start_main_impl': '__libc_start_main'}


def cases():
    for arch in gocore.ARCHES:
        base = os.path.join(gocore.CORES, arch)
        for name in sorted(os.listdir(base)):
            if os.path.exists(os.path.join(base, name, 'core.zst')):
                yield gocore.Case(arch, name)


def is_whole(case):
    return 'cut' not in case.name


def is_c(case):
    return '-go1.' not in case.name


def options(case, local=True):
    if not local or not is_whole(case):
        return []
    return [case.bin, '--sysroot=' + case.sysroot, '--bin-dir=' + case.libraries(), '--debug-dir=' + NO_DEBUG]


def closed(schema):
    """The same schema, but keys that it does not describe are errors."""
    if isinstance(schema, dict):
        out = {key: closed(value) for key, value in schema.items()}
        if schema.get('type') == 'object' and 'properties' in schema:
            out['additionalProperties'] = False
        return out
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


class Snapshots(unittest.TestCase):
    def run_stub(self, *args):
        done = gocore.run_stub('snapshot', *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotRegex(done.stderr, gocore.SANITIZER_REPORT)
        return done.stdout

    def of_case(self, case, *more, local=True):
        return json.loads(self.run_stub('--json', case.core, *options(case, local), *more))


@unittest.skipUnless(jsonschema, 'python3-jsonschema is not installed')
class Schema(Snapshots):
    def test_cores(self):
        with open(os.path.join(gocore.SOURCE, 'doc', 'schema', 'snapshot-1.schema.json')) as f:
            schema = json.load(f)
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(closed(schema))
        for case in cases():
            if re.search('cut-(ehdr|phdrs)', case.name): # refused
                continue
            for more in ([], ['--registers=all', '--disassemble=20', '--auxv', '--env'],
                         ['--registers=none', '--disassemble=0']):
                with self.subTest(case=str(case), options=more):
                    document = self.of_case(case, *more)
                    errors = ['%s: %s' % ('/'.join(map(str, e.absolute_path)), e.message[:200])
                              for e in validator.iter_errors(document)]
                    self.assertEqual(errors, [])
                    self.assertEqual((list(document)[0], list(document)[-1]), ('schema', 'problems'))
                    self.assertEqual('auxv' in document, '--auxv' in more and is_whole(case) or
                                     '--auxv' in more and 'half' in case.name or
                                     '--auxv' in more and 'cut-notes' in case.name)
        self.assertFalse(validator.is_valid(dict(document, threads=[{'tid': 1}])))
        self.assertFalse(validator.is_valid(dict(document, unheard_of=1)))


class Facts(Snapshots):
    """Against expect.txt."""

    def test_threads_and_signal(self):
        for case in filter(is_whole, cases()):
            with self.subTest(case=str(case)):
                expect, document = case.expect, self.of_case(case)
                threads = document['threads']
                if expect.tids:
                    self.assertEqual([t['tid'] for t in threads], expect.tids)
                crashed = expect.head['core_signal'] not in ('0', 'None')
                self.assertEqual([t['crashed'] for t in threads], [crashed] + [False] * (len(threads) - 1))
                self.assertEqual('signal' in document, crashed)

    def test_registers_of_the_kernel_log(self):
        """arm64 kernels log the registers of the crash."""
        seen = 0
        for case in filter(is_whole, cases()):
            logged = case.expect.dmesg_registers()
            registers = self.of_case(case)['threads'][0]['registers'] if logged else {}
            for name, value in logged.items():
                name = 'cpsr' if name == 'pstate' else name
                self.assertEqual(int(registers[name], 16), value, '%s %s' % (case, name))
                seen += 1
        self.assertGreater(seen, 100)

    def test_faulting_access(self):
        """The address worked out from the registers is the one that the kernel reported."""
        seen = 0
        for case in filter(is_whole, cases()):
            siginfo = case.expect.siginfo
            if not siginfo or siginfo[0] not in (7, 11) or siginfo[1] <= 0:
                continue
            with self.subTest(case=str(case)):
                fault = self.of_case(case)['threads'][0]['fault']
                self.assertEqual(int(fault['address'], 16), siginfo[2])
                self.assertEqual(int(fault['effective_address'], 16), siginfo[2])
                self.assertEqual(fault['access'], 'write')
                self.assertIn('0x%x' % siginfo[2], fault['text'])
                seen += 1
        self.assertGreater(seen, 8)

    def test_tags(self):
        fault = self.of_case(gocore.Case('aarch64', 'arm-mte'))['threads'][0]['fault']
        self.assertEqual((fault['reason'], fault['pointer_tag'], fault['memory_tag']), ('tag-mismatch', 6, 5))

    def test_without_siginfo(self):
        """qemu-user writes none: the access that cannot have worked is the one."""
        fault = self.of_case(gocore.Case('aarch64', 'plugin-qemu-user'))['threads'][0]['fault']
        self.assertEqual((fault['reason'], fault['address']), ('not-mapped', '0xdead0010'))

    def test_system_calls(self):
        """threads.c: one thread sleeps, one waits for a condition, main joins; the others compute."""
        for arch in gocore.ARCHES:
            with self.subTest(arch=arch):
                document = self.of_case(gocore.Case(arch, 'threads'))
                by_name = {}
                for thread in document['threads']:
                    names = [f.get('function') for f in thread['frames']]
                    for name in ('sleeper', 'waiter', 'main', 'spinner', 'crasher'):
                        if name in names:
                            by_name[name] = thread.get('syscall')
                self.assertEqual(sorted(by_name), ['crasher', 'main', 'sleeper', 'spinner', 'waiter'])
                self.assertIsNone(by_name['crasher'])
                self.assertIsNone(by_name['spinner'])
                self.assertEqual(by_name['sleeper']['name'], 'clock_nanosleep')
                self.assertEqual(len(by_name['sleeper']['arguments']), 4)
                self.assertEqual(by_name['waiter']['name'], 'futex')
                self.assertEqual(by_name['main']['name'], 'futex')
                self.assertIsInstance(by_name['main']['arguments'][0], str)

    def test_environment(self):
        for case in filter(is_whole, cases()):
            expect = case.expect.head
            if 'arguments' not in expect or case.name.endswith(('gcore', 'delve', 'qemu-user')):
                continue
            with self.subTest(case=str(case)):
                document = self.of_case(case, '--env')
                given = expect['arguments'].split() if expect['arguments'] not in ('-', '(none)') else []
                self.assertEqual(document['arguments'][0], expect['program'])
                self.assertEqual(document['arguments'][1:], given)
                for variable in expect.get('environment', '-').split():
                    if '=' in variable:
                        self.assertIn(variable, document['environment'])
                self.assertTrue(all('=' in v for v in document['environment']))
                self.assertNotIn('environment', self.of_case(case))

    def test_panic(self):
        """What a Go program died of, as it printed it itself."""
        seen = 0
        for case in filter(is_whole, cases()):
            printed = re.search(r'^(panic|fatal error): (.*?)(?: \[recovered\])?$', case.expect.sections.get('stderr', ''),
                                flags=re.M)
            if is_c(case) or not printed:
                continue
            with self.subTest(case=str(case)):
                document = self.of_case(case)
                said = document['panics'][0]['text'] if printed[1] == 'panic' else document['fatal_error']
                self.assertEqual(said.split('\n')[0], printed[2])
                self.assertTrue(document['go']['version'].startswith('go1.'))
                text = self.run_stub(case.core, *options(case))
                self.assertRegex(text, r'(?m)^(panic|fatal) +' + re.escape(printed[2]))
                seen += 1
        self.assertGreater(seen, 2)

    def test_text(self):
        for arch, tid in (('x86_64', None), ('aarch64', 117)):
            case = gocore.Case(arch, 'threads')
            text = self.run_stub(case.core, *options(case))
            tid = tid or case.expect.tids[0]
            self.assertIn('\nThread %d (crashed: SIGSEGV address not mapped to object, address 0x0)\n' % tid, text)
            self.assertRegex(text, r'(?m)^  .*: (rax|x0) = 0: address 0x0 not mapped$')
            self.assertRegex(text, r'(?m)^#0 +c \(threads\.c:\d+\)\n#1 +b \(threads\.c:\d+\)\n#2 +a \(')
            self.assertRegex(text, r'(?m)^=> 0x[0-9a-f]{16} <c\+\d+>: ')
            self.assertNotRegex(text, r'[\x00-\x09\x0b-\x1f\x7f]')
            self.assertLessEqual(max(map(len, text.splitlines()[6:])), 100)


class Gdb(Snapshots):
    """Against gdb's own core target."""

    def setUp(self):
        self.gdbs = gocore.gdbs()
        if not self.gdbs:
            self.skipTest('no gdb')

    def gdb_for(self, arch):
        for gdb in self.gdbs:
            if gocore.knows_arch(gdb, arch):
                return gdb
        return None

    @staticmethod
    def start(case):
        return ['set sysroot ' + case.sysroot, 'set solib-search-path ' + case.libraries(),
                'set debug-file-directory ' + NO_DEBUG, 'set language c', 'set backtrace past-main on', 'file ' + case.bin, 'core-file ' + case.core]

    def ask(self, case, questions):
        gdb = self.gdb_for(case.arch)
        if not gdb:
            self.skipTest('no gdb that knows ' + case.arch)
        return gocore.ask_gdb(gdb, self.start(case), questions)[1]

    def numbers(self, case):
        answer, = self.ask(case, ['info threads'])
        rows = re.findall(r'^[* ] +(\d+) +(?:Thread 0x[0-9a-f]+ \()?LWP (\d+)', answer or '', flags=re.M)
        return {int(tid): int(number) for number, tid in rows}

    # Registers

    FORMS = [
        (r'xmm\d+', '.uint128'), (r'ymm\d+', '.v2_int128'), (r'zmm\d+', '.v4_int128'),
        (r'v\d+', '.q.u'), (r'z\d+', '.q.u'), (r'p\d+|ffr', ''),
    ]

    def command(self, name):
        if re.fullmatch(r'st\d', name):
            return 'info registers ' + name
        for form, suffix in self.FORMS:
            if re.fullmatch(form, name):
                return 'p/x $%s%s' % (name, suffix)
        return 'p/x $' + name

    @staticmethod
    def value(name, answer):
        """The number in gdb's answer; parts of a vector from the lowest on."""
        raw = re.search(r'\(raw 0x([0-9a-f]+)\)', answer)
        if raw:
            return int(raw[1], 16)
        parts = [int(part, 16) for part in re.findall(r'0x[0-9a-f]+', answer.split('=', 1)[-1])]
        width = 8 if re.fullmatch(r'p\d+|ffr', name) else 128
        return sum(part << width * i for i, part in enumerate(parts)) if parts else None

    def test_registers(self):
        """All registers of all threads."""
        compared = 0
        for case in filter(is_whole, cases()):
            if 'delve' in case.name: # gdb does not read its notes
                continue
            with self.subTest(case=str(case)):
                threads = self.of_case(case, '--registers=all', local=False)['threads']
                numbers = self.numbers(case) or {threads[0]['tid']: 1}
                asked, questions = [], []
                for thread in threads:
                    for name, value in thread['registers'].items():
                        asked.append((thread['tid'], name, int(value, 16)))
                        questions.append(['thread %d' % numbers[thread['tid']], self.command(name)])
                wrong = []
                for (tid, name, value), answer in zip(asked, self.ask(case, questions)):
                    theirs = self.value(name, answer or '')
                    if theirs is None: # void, <unavailable>: this gdb does not know the register
                        self.assertNotRegex(name, r'^(r\w+|x\d+|sp|pc)$')
                        continue
                    compared += 1
                    if theirs != value:
                        wrong.append('%s %s: 0x%x, gdb: %s' % (tid, name, value, answer))
                self.assertEqual(wrong[:20], [])
        self.assertGreater(compared, 3000)

    # Code

    def test_disassembly(self):
        """Where instructions start, before and after each pc."""
        for case in filter(is_whole, cases()):
            if GDB_IS_LOST.search(case.name):
                continue
            with self.subTest(case=str(case)):
                threads = [t for t in self.of_case(case, '--disassemble=9')['threads'] if 'disassembly' in t]
                self.assertTrue(threads)
                for thread in threads:
                    lines = thread['disassembly']
                    current = [line['current'] for line in lines]
                    self.assertEqual(current.count(True), 1)
                    self.assertEqual(lines[current.index(True)]['address'], thread['frames'][0]['pc'])
                questions = ['x/%di %s' % (len(t['disassembly']), t['disassembly'][0]['address']) for t in threads]
                for thread, answer in zip(threads, self.ask(case, questions)):
                    theirs = re.findall(r'^(?:=>)? *(0x[0-9a-f]+)', answer or '', flags=re.M)
                    self.assertEqual([line['address'] for line in thread['disassembly']], theirs)

    # Frames

    @staticmethod
    def frames(answer):
        """(function, line) of each frame; None where gdb knows none."""
        out = []
        for row in re.split(r'\n(?=#\d)', answer or ''):
            match = re.match(r'#\d+ +(?:0x[0-9a-f]+ (?:\[PAC\] )?in )?(\S+)', row)
            if not match:
                continue
            line = re.search(r' at .*?:(\d+)\s*$', row, flags=re.S)
            name = SAME_ADDRESS.get(match[1], match[1])
            out.append((name if name != '??' else None, int(line[1]) if line else None))
        return out

    def test_frames_of_c(self):
        """Function, and line with debug information, of all threads."""
        for case in filter(is_c, filter(is_whole, cases())):
            if GDB_IS_LOST.search(case.name):
                continue
            with self.subTest(case=str(case)):
                threads = self.of_case(case)['threads']
                numbers = self.numbers(case) or {threads[0]['tid']: 1}
                answers = self.ask(case, [['thread %d' % numbers[t['tid']], 'bt'] for t in threads])
                for thread, answer in zip(threads, answers):
                    theirs = self.frames(answer)
                    ours = [(f.get('function'), f.get('line')) for f in thread['frames']]
                    self.assertEqual(ours, theirs, answer)


if __name__ == '__main__':
    gocore.main()
