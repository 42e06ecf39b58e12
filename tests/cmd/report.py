#!/usr/bin/env python3
"""report without a browser: what is in the page's data, and what becomes of bad input and output."""
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), os.path.join(HERE, '..', 'report')]
import generate
import gocore


def run(*args, **kwargs):
    return subprocess.run([*gocore.STUB, 'report', *args], capture_output=True, text=True, check=False, **kwargs)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


class Report(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)
        self.lines = list(generate.lines(300, seed=3))

    def write(self, name, lines, end='\n'):
        path = os.path.join(self.tmp.name, name)
        with open(path, 'w') as f:
            f.write('\n'.join(json.dumps(line) for line in lines) + end)
        return path

    def cores(self, data):
        return {core[data['columns'].index('core')]: core for core in data['cores']}

    def test_every_value_is_there(self):
        done = run(self.write('a.ndjson', self.lines), '-o', '-')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        data = data_of(done.stdout)
        texts, at = data['texts'], data['columns'].index
        found = self.cores(data)
        self.assertEqual(set(found), {line['core'] for line in self.lines})
        for line in self.lines:
            core = found[line['core']]
            self.assertEqual(texts[core[at('error')]], line.get('error', {}).get('text', ''))
            if 'error' in line:
                continue
            self.assertEqual([texts[core[at(name)]] for name in ('program', 'build_id', 'arch', 'signal', 'top', 'exact', 'site', 'host')],
                             [line['program'], line['build_id'], line['arch'], line['signal']['name'],
                              *(line['signature'][name] for name in ('top', 'exact', 'site')), line['host']])
            stack = [[texts[f[0]], texts[f[1]], f[2]] for f in data['stacks'][core[at('stack')]]]
            self.assertEqual(stack, [[f['function'], f.get('file', ''), f.get('line', 0)] for f in line['crashed']['frames']])
            names, values = core[at('registers')]
            registers = dict(zip((texts[n] for n in data['register_names'][names]), (data['values'][v] for v in values)))
            registers.pop('fault address', None)
            self.assertEqual(registers, line['crashed']['registers'])
            groups = core[at('goroutine_groups')]
            self.assertEqual([g[0] for g in data['goroutine_groups'][groups]] if groups >= 0 else [],
                             [g['count'] for g in line.get('goroutine_groups', [])])

    def test_cores_count_once(self):
        done = run(self.write('a.ndjson', self.lines[:200]), self.write('b.ndjson', self.lines[100:]), '-o', '-')
        data = data_of(done.stdout)
        self.assertEqual((len(data['cores']), data['duplicates']), (300, 100))

    def test_no_text_ends_the_script(self):
        self.lines[0]['core'] = self.lines[0]['program'] = '</script><!--<script>'
        page = run(self.write('a.ndjson', self.lines), '-o', '-').stdout
        self.assertEqual(page.count('</script>'), 2)
        self.assertIn('</script><!--<script>', self.cores(data_of(page)))

    def test_bad_lines_are_told(self):
        path = os.path.join(self.tmp.name, 'bad')
        with open(path, 'wb') as f:
            f.write(b'{"schema":"gocore-stub/triage/1","core":"x","problems":[]}\nrubbish\n\xff\xfe\n{"schema":"gocore-stub/info/1"}\n{"half":')
        done = run(path, '-o', '-')
        data = data_of(done.stdout)
        self.assertEqual((done.returncode, len(data['cores']), data['unreadable']), (0, 1, 4))
        self.assertEqual(len(done.stderr.splitlines()), 4)

    def test_input_and_output_that_cannot_be_used(self):
        good = self.write('a.ndjson', self.lines)
        for args in ([good], ['-o', 'x']):
            self.assertEqual(run(*args).returncode, 2)
        for args in ([os.path.join(self.tmp.name, 'none'), '-o', '-'], [good, '-o', os.path.join(self.tmp.name, 'no', 'folder')], [self.tmp.name, '-o', '-']):
            done = run(*args)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
        with open('/dev/full', 'w') as full:
            done = subprocess.run([*gocore.STUB, 'report', good, '-o', '-'], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('No space left', done.stderr)
        self.assertEqual(os.listdir(self.tmp.name), ['a.ndjson'])

    def test_output_that_is_no_file(self):
        """It is written to, and not replaced by a file: -o /dev/null would be the end of it."""
        good, fifo = self.write('a.ndjson', self.lines), os.path.join(self.tmp.name, 'fifo')
        os.mkfifo(fifo)
        reader = subprocess.Popen(['cat', fifo], stdout=subprocess.PIPE, text=True)
        self.assertEqual(run(good, '-o', fifo).returncode, 0)
        self.assertEqual(len(data_of(reader.communicate(timeout=20)[0])['cores']), len(self.lines))
        self.assertTrue(stat.S_ISFIFO(os.stat(fifo).st_mode))

    def test_a_file_of_another_kind(self):
        """It makes no page, and few complaints; an empty file is the run that found no core."""
        path, page = os.path.join(self.tmp.name, 'other'), os.path.join(self.tmp.name, 'page.html')
        with open(path, 'w') as f:
            f.write('rubbish\n' * 50)
        done = run(path, '-o', page)
        self.assertEqual((done.returncode, os.path.exists(page), len(done.stderr.splitlines())), (1, False, 12), done.stderr)
        done = run(self.write('empty', [], end=''), '-o', page)
        self.assertEqual((done.returncode, os.path.exists(page)), (0, True), done.stderr)

    def test_input_is_not_overwritten(self):
        good = self.write('a.ndjson', self.lines)
        self.assertEqual(run(good, '-o', good).returncode, 1)
        self.assertEqual(os.path.getsize(good), sum(len(json.dumps(line)) + 1 for line in self.lines))


if __name__ == '__main__':
    unittest.main(verbosity=2)
