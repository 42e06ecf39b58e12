#!/usr/bin/env python3
"""triage on real cores: lines against the schema and against what the programs said of themselves,
signatures of equal and of different faults, and what happens when something goes wrong."""
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

NO_DEBUG = os.path.join(gocore.FIXTURES, 'no-debug-files')


def cases():
    for arch in gocore.ARCHES:
        base = os.path.join(gocore.CORES, arch)
        for name in sorted(os.listdir(base)):
            if os.path.exists(os.path.join(base, name, 'core.zst')):
                yield gocore.Case(arch, name)


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


class Triage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cases = list(cases())
        cls.options = ['--debug-dir=' + NO_DEBUG, '--timeout=%g' % (30 * gocore.SLOW)]
        for case in cls.cases:
            if 'cut' not in case.name:
                case.bin
                cls.options.append('--bin-dir=' + case.libraries())
        cls.options += ['--sysroot=' + gocore.sysroot(arch) for arch in gocore.ARCHES]

    def run_stub(self, *args, status=0, **kwargs):
        done = gocore.run_stub('triage', *args, timeout=120, **kwargs)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertNotRegex(done.stderr, gocore.SANITIZER_REPORT)
        return done.stdout

    def lines(self, *args, **kwargs):
        return [json.loads(line) for line in self.run_stub(*args, *self.options, **kwargs).splitlines()]


class Lines(Triage):
    @unittest.skipUnless(jsonschema, 'python3-jsonschema is not installed')
    def test_schema(self):
        check = validator('triage')
        lines = self.lines(*[case.core for case in self.cases], status=3)
        self.assertEqual(sorted(line['core'] for line in lines), sorted(case.core for case in self.cases))
        for line in lines:
            with self.subTest(core=line['core']):
                errors = ['%s: %s' % ('/'.join(map(str, e.absolute_path)), e.message[:200])
                          for e in check.iter_errors(line)]
                self.assertEqual(errors, [])
                self.assertEqual('error' in line, bool(re.search('cut-(ehdr|phdrs)', line['core'])))
        self.assertFalse(check.is_valid(dict(lines[0], unheard_of=1)))


if __name__ == '__main__':
    gocore.main()
