#!/usr/bin/env python3
"""info and maps on real cores: their JSON against the schemas and against what the programs said
of themselves before they died; programs against readelf."""
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

try:
    import jsonschema
except ImportError:
    jsonschema = None


def cases():
    for arch in gocore.ARCHES:
        base = os.path.join(gocore.CORES, arch)
        for name in sorted(os.listdir(base)):
            if os.path.exists(os.path.join(base, name, 'core.zst')):
                yield gocore.Case(arch, name)


def closed(schema):
    """The same schema, but keys that it does not describe are errors: the documents are all described."""
    if isinstance(schema, dict):
        closed_schema = {key: closed(value) for key, value in schema.items()}
        if schema.get('type') == 'object' and 'properties' in schema:
            closed_schema['additionalProperties'] = False
        return closed_schema
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


def validator(kind):
    with open(os.path.join(gocore.SOURCE, 'doc', 'schema', kind + '-1.schema.json')) as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(closed(schema))


def options(case, local):
    if not local:
        return []
    return [case.bin, '--sysroot=' + case.sysroot, '--bin-dir=' + case.libraries()]


class Documents(unittest.TestCase):
    def run_stub(self, *args):
        done = gocore.run_stub(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotRegex(done.stderr, gocore.SANITIZER_REPORT)
        return done.stdout

    def document(self, *args):
        return json.loads(self.run_stub(*args, '--json'))

    def of_case(self, kind, case, *more, local=True):
        core, program = case.core, options(case, local)
        return self.document(kind, core, *program, *more)


@unittest.skipUnless(jsonschema, 'python3-jsonschema is not installed')
class Schema(Documents):
    def valid(self, kind, *args):
        document = self.document(kind, *args)
        errors = ['%s: %s' % ('/'.join(map(str, e.absolute_path)), e.message[:200])
                  for e in validator(kind).iter_errors(document)]
        self.assertEqual(errors, [])
        self.assertEqual(list(document)[0], 'schema')
        self.assertEqual(list(document)[-1], 'problems')

    def test_cores(self):
        for case in cases():
            if re.search('cut-(ehdr|phdrs)', case.name): # refused
                continue
            for local in (True, False):
                if local and 'cut' in case.name: # has no program of its own
                    continue
                with self.subTest(case=str(case), local=local):
                    self.valid('info', case.core, *options(case, local))
                    self.valid('maps', case.core, *options(case, local), '0x10', '0x7fffffffffff')

    def test_programs(self):
        self.valid('info', os.path.realpath('/bin/sh'))
        for case in cases():
            if 'cut' not in case.name:
                with self.subTest(case=str(case)):
                    self.valid('info', case.bin)

    def test_schema_refuses(self):
        """The test itself: a document that is wrong does not pass."""
        document = self.document('maps', gocore.Case('aarch64', 'plugin').core)
        self.assertTrue(validator('maps').is_valid(document))
        document['ranges'][0]['class'] = 'zero'
        self.assertFalse(validator('maps').is_valid(document))
        document['ranges'][0]['class'] = 'dumped'
        document['ranges'][0]['unheard_of'] = 1
        self.assertFalse(validator('maps').is_valid(document))


class Info(Documents):
    def test_what_the_core_is(self):
        """Signal, threads and notes as they were counted when the core was made."""
        for case in cases():
            if 'cut' in case.name:
                continue
            with self.subTest(case=str(case)):
                expect = case.expect
                info = self.of_case('info', case)
                self.assertEqual(info['arch'], case.arch)
                self.assertEqual(info['file']['size'], int(expect.head['core_bytes']))
                if expect.tids: # not known of a core of Delve's
                    self.assertEqual([t['tid'] for t in info['threads']], expect.tids)
                if expect.head['core_signal'] in ('0', 'None'): # gcore, Delve: a live process
                    self.assertNotIn('signal', info)
                else:
                    self.assertEqual(info['signal']['number'], int(expect.head['core_signal']))
                    self.check_siginfo(info['signal'], expect.siginfo)
                self.check_notes(info['notes'], expect.head['core_notes'])
                self.assertEqual(info['executable'], expect.head['program'])
                self.assertEqual(info['images'][0]['status'], 'found')
                if re.fullmatch('[0-9a-f]{16,}', expect.head.get('build_id', '')):
                    self.assertEqual(info['program_info']['build_id'], expect.head['build_id'])

    def check_siginfo(self, signal, siginfo):
        if not siginfo: # qemu-user writes none
            self.assertNotIn('code', signal)
            return
        number, code, union = siginfo
        self.assertEqual((signal['number'], signal['code']), (number, code))
        if 'address' in signal:
            self.assertEqual(int(signal['address'], 16), union)
        if 'sender_pid' in signal:
            self.assertEqual(signal['sender_pid'], union & 0xffffffff)
            self.assertEqual(signal['sender_uid'], union >> 32)
        self.assertTrue('address' in signal or 'sender_pid' in signal)

    def check_notes(self, notes, counted):
        found = collections.Counter(n['name'][len('NT_'):] for n in notes if 'name' in n)
        for name, count in re.findall(r'(\w+) x(\d+)', counted):
            if name in found: # tools differ in the names of some
                self.assertEqual(found[name], int(count), name)
        self.assertIn('PRSTATUS', found)

    def test_memory_adds_up(self):
        for arch in gocore.ARCHES:
            memory = self.of_case('info', gocore.Case(arch, 'threads'))['memory']
            self.assertEqual(memory['size'], sum(memory[c] for c in ('dumped', 'recovered', 'missing', 'truncated')))
            self.assertGreater(memory['recovered'], 1 << 20)
            self.assertEqual(memory['truncated'], 0)

    def test_crash(self):
        """The crashed thread's function and instruction."""
        for arch, text in (('x86_64', r'mov\w* .*\[\w+\], \w+'), ('aarch64', r'str w\d+, \[x\d+\]')):
            thread = self.of_case('info', gocore.Case(arch, 'plugin'))['threads'][0]
            self.assertTrue(thread['crashed'])
            self.assertEqual(thread['frames'][0]['function'], 'plugin_crash')
            self.assertRegex(thread['frames'][0]['module'], 'libplugin.so$')
            self.assertEqual(thread['disassembly'][0]['address'], thread['frames'][0]['pc'])
            self.assertRegex(thread['disassembly'][0]['text'], text)

    def test_startup_functions(self):
        """What .init_array says, and what the core holds there, are the same function."""
        for arch in gocore.ARCHES:
            for local in ('threads', 'plugin'):
                rows = self.of_case('info', gocore.Case(arch, local))['program_info']['startup']
                init = [r for r in rows if r['section'] == '.init_array']
                self.assertEqual(init[-1]['name'], 'frame_dummy')
                self.assertEqual(init[-1]['core']['name'], 'frame_dummy')
                self.assertNotEqual(init[-1]['core']['value'], init[-1]['function']) # it is relocated

    def test_cut(self):
        info = self.document('info', gocore.Case('aarch64', 'threads-cut-half').core)
        self.assertTrue(info['file']['cut'])
        self.assertGreater(info['memory']['truncated'], 1 << 20)
        self.assertTrue(info['problems'])

    def test_text(self):
        """One line for each of the facts, and no control characters."""
        case = gocore.Case('aarch64', 'threads')
        text = self.run_stub('info', case.core, *options(case, True))
        for line in ('core', 'file', 'command', 'signal', 'program', 'images', 'memory', 'threads', 'elf', 'left'):
            self.assertRegex(text, r'(?m)^%s +\S' % line)
        for heading in ('Threads', 'Images', 'Notes', 'Program', 'Undefined symbols'):
            self.assertRegex(text, r'(?m)^%s$' % heading)
        self.assertNotRegex(text, r'[\x00-\x09\x0b-\x1f\x7f]')


class Go(Documents):
    def versions(self):
        for case in cases():
            version = re.search(r'-go(1\.\d+)', case.name)
            if version and 'cut' not in case.name:
                yield case, version[1], case.expect.head['toolchain']

    def check(self, go, case, toolchain):
        self.assertEqual(go['version'], re.search(r'go[\d.]+', toolchain)[0].rstrip('.'))
        settings = {s['key']: s['value'] for s in go['settings']}
        self.assertEqual(settings['GOARCH'], {'x86_64': 'amd64', 'aarch64': 'arm64'}[case.arch])
        self.assertEqual((go['goos'], go['goarch']), ('linux', settings['GOARCH']))
        self.assertEqual(go['cgo_enabled'], settings['CGO_ENABLED'] == '1')
        self.assertEqual(go['module_version'], '(devel)')
        self.assertIn('path', go)

    def test_programs(self):
        for case, _, toolchain in self.versions():
            with self.subTest(case=str(case)):
                self.check(self.document('info', case.bin)['go'], case, toolchain)

    def test_cores_without_program(self):
        """The build information is in the dumped data, too."""
        for case, _, toolchain in self.versions():
            with self.subTest(case=str(case)):
                self.check(self.of_case('info', case, local=False)['go'], case, toolchain)

    def test_stripped(self):
        for case, _, _ in self.versions():
            info = self.document('info', case.bin)
            self.assertTrue(any('.gopclntab' in line for line in info['recoverable']))

    def test_c_is_not_go(self):
        case = gocore.Case('x86_64', 'threads')
        self.assertNotIn('go', self.document('info', case.bin))
        self.assertNotIn('go', self.of_case('info', case, local=False))


@unittest.skipUnless(shutil.which('readelf'), 'readelf is not installed')
class Programs(Documents):
    def readelf(self, *args):
        return subprocess.run(['readelf', '-W', *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=True, env=dict(os.environ, LC_ALL='C')).stdout

    def programs(self):
        yield os.path.realpath('/bin/sh')
        for case in cases():
            if 'cut' not in case.name:
                yield case.bin

    def test_like_readelf(self):
        for path in self.programs():
            with self.subTest(program=path):
                info = self.document('info', path)
                self.check_header(info, self.readelf('-h', path))
                self.check_dynamic(info, self.readelf('-d', path))
                self.check_notes(info, self.readelf('-n', path))
                self.check_sections(info, self.readelf('-S', path))
                self.check_undefined(info, self.readelf('--dyn-syms', path))
                interpreter = re.search(r'program interpreter: (\S+)\]', self.readelf('-l', path))
                self.assertEqual(info.get('interpreter'), interpreter and interpreter[1])

    def check_header(self, info, header):
        elf = info['elf']
        self.assertIn(elf['class'], header)
        self.assertIn("2's complement, " + elf['data'].replace('-', ' '), header)
        self.assertEqual(elf['type'][len('ET_'):], re.search(r'Type: +(\w+)', header)[1])
        self.assertEqual(elf['entry'], re.search(r'Entry point address: +(\S+)', header)[1])
        self.assertIn({62: 'X86-64', 183: 'AArch64'}[elf['machine_number']], header)

    def check_dynamic(self, info, dynamic):
        needed = re.findall(r'\(NEEDED\) .*\[(.*)\]', dynamic)
        self.assertEqual([library['name'] for library in info.get('needed', [])], needed)
        self.assertEqual(info['elf']['linkage'], 'dynamic' if needed else 'static')
        soname = re.search(r'\(SONAME\) .*\[(.*)\]', dynamic)
        self.assertEqual(info.get('soname'), soname and soname[1])

    def check_notes(self, info, notes):
        build_id = re.search(r'Build ID: (\w+)', notes)
        self.assertEqual(info.get('build_id'), build_id and build_id[1])

    def check_sections(self, info, listing):
        sizes = {name: int(size, 16) for name, size in
                 re.findall(r'\] (\.\S+) +(?!NOBITS)\w+ +\w+ \w+ (\w+) ', listing)}
        for section in info['sections']:
            self.assertEqual(section['size'], sizes[section['name']], section['name'])
        for name in ('.symtab', '.dynsym', '.debug_info', '.gopclntab', '.eh_frame'):
            self.assertEqual(name in sizes, name in [s['name'] for s in info['sections']], name)

    def check_undefined(self, info, symbols):
        found = sorted((s['name'], s.get('version')) for s in info.get('undefined', []))
        want = sorted((name, version or None) for name, version in
                      re.findall(r' UND ([^\s@]+)@?@?(\S*)', symbols))
        self.assertEqual(found, want)


class Maps(Documents):
    def test_like_proc_maps(self):
        """Each range lies in one row of /proc/self/maps as the program saw it, with its permissions and name."""
        for arch in gocore.ARCHES:
            for name in ('threads', 'plugin', 'threads-filter21', 'threads-filter3f'):
                with self.subTest(arch=arch, name=name):
                    case = gocore.Case(arch, name)
                    rows = list(case.expect.maps())
                    self.assertTrue(rows)
                    self.compare(self.of_case('maps', case)['ranges'], rows)

    def compare(self, ranges, rows):
        named = 0
        for r in ranges:
            start, end = int(r['start'], 16), int(r['end'], 16)
            self.assertEqual(r['size'], end - start)
            row = [row for row in rows if row[0] <= start and end <= row[1]]
            if not row: # mapped or split after the program looked
                continue
            _, _, perms, offset, path = row[0]
            if 'perms' in r and r['class'] != 'missing':
                self.assertEqual(r['perms'], perms[:3], r)
            if 'path' in r:
                named += 1
                self.assertEqual(os.path.basename(r['path']), os.path.basename(path), r)
                self.assertEqual(int(r['offset'], 16), offset + start - row[0][0], r)
        self.assertGreater(named, 5)

    def test_addresses(self):
        """Where the program said that its data and functions are."""
        for arch in gocore.ARCHES:
            case = gocore.Case(arch, 'plugin')
            facts = dict(re.findall(r'(\w+)@(0x[0-9a-f]+)', '\n'.join(case.expect.stdout)))
            names = [n for n in ('host_calls', 'plugin_state', 'plugin_static', 'plugin_entry') if n in facts]
            self.assertGreater(len(names), 2)
            found = self.of_case('maps', case, *(facts[n] for n in names))['addresses']
            for name, address in zip(names, found):
                self.assertTrue(address['mapped'])
                self.assertEqual((address['symbol'], address['symbol_offset']), (name, 0))
                self.assertIn(name, address['text'])

    def test_overflow(self):
        """Sixteen bytes behind the heap: the sentence says so."""
        case = gocore.Case('aarch64', 'threads')
        heap = [r for r in self.of_case('maps', case)['ranges'] if r.get('label') == '[heap]']
        end = int(heap[-1]['end'], 16)
        text = self.run_stub('maps', case.core, *options(case, True), hex(end + 16))
        self.assertRegex(text, r'^0x[0-9a-f]+ is in no mapping: \[heap\] ends 16 bytes before it, .+ starts .+ after it\n')

    def test_text(self):
        """As many lines as ranges, and a summary."""
        case = gocore.Case('x86_64', 'threads')
        lines = self.run_stub('maps', case.core, *options(case, True)).splitlines()
        ranges = self.of_case('maps', case)['ranges']
        self.assertEqual(len(lines), len(ranges) + 1)
        for line, r in zip(lines, ranges):
            self.assertRegex(line, r'^%s-%s  ' % (r['start'][2:], r['end'][2:]))
            self.assertIn(r['class'], line)
        self.assertRegex(lines[-1], r'^%d ranges, .* dumped' % len(ranges))


if __name__ == '__main__':
    unittest.main()
