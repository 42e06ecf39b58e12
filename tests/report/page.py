#!/usr/bin/env python3
"""The page of `report` in a real browser: what it counts and shows against a count of the lines in Python, texts out of cores that would
like to be code, keys, and a phone.

UPDATE=1 renews the pictures in doc/report/."""
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import generate
import gocore
import webdriver

LINES = 20000
HOSTILE = '</script><script>window.owned=1</script><img src=x onerror="window.owned=1">'
PICTURES = os.path.join(gocore.SOURCE, 'doc', 'report')


def report(lines, folder, name='report'):
    ndjson, page = os.path.join(folder, name + '.ndjson'), os.path.join(folder, name + '.html')
    with open(ndjson, 'w') as f:
        f.writelines(json.dumps(line) + '\n' for line in lines)
    subprocess.run([*gocore.STUB, 'report', ndjson, '-o', page], check=True)
    return page


def group_of(line):
    """What a group is called: as the page does it, told anew."""
    if 'error' in line:
        return 'error', line['error']['kind']
    return os.path.basename(line['program']), line['signature']['top']


def counts(lines):
    return sorted(collections.Counter(map(group_of, lines)).values(), reverse=True)


def shown_counts(browser):
    return browser.run('return [...document.querySelectorAll("#groups .count")].map(e => +e.textContent.replace(/,/g, ""))')


def filter_page(browser, text):
    """Type a filter; returns the milliseconds until the groups are there, painted."""
    return browser.run_async('''
        const [text, done] = arguments, input = document.getElementById("filter"), list = document.getElementById("groups");
        const begin = performance.now();
        new MutationObserver((_, observer) => { observer.disconnect();
            requestAnimationFrame(() => setTimeout(() => done(performance.now() - begin))); }).observe(list, { childList: true });
        input.value = text; input.dispatchEvent(new Event("input"));''', text)


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.browser = webdriver.Chromium()
        cls.addClassCleanup(cls.browser.close)
        cls.lines = list(generate.lines(LINES))
        cls.page = 'file://' + report(cls.lines, cls.folder.name)

    def setUp(self):
        self.browser.open('about:blank')
        self.browser.open(self.page)

    def tearDown(self):
        self.assertEqual(self.browser.console(), [])

    def text(self, selector):
        return self.browser.run('return document.querySelector(arguments[0])?.innerText', selector)

    def soon(self, what, wanted):
        """Keys and frames take their time."""
        end = time.monotonic() + 10 * gocore.SLOW
        while what() != wanted and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(what(), wanted)

    def picture(self, browser, name):
        path = os.path.join(PICTURES if os.environ.get('UPDATE') else self.folder.name, name + '.png')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        browser.screenshot(path)
        self.assertGreater(os.path.getsize(path), 10000)

    def test_counts(self):
        self.assertEqual(shown_counts(self.browser), counts(self.lines)[:50])
        self.assertIn('%s cores in %d groups' % (format(LINES, ','), len(counts(self.lines))), self.text('#summary'))

    def test_filter(self):
        cases = {
            'signal:SIGABRT': lambda l: l.get('signal', {}).get('name') == 'SIGABRT',
            'signal:SIGABRT -arch:aarch64': lambda l: l.get('signal', {}).get('name') == 'SIGABRT' and l['arch'] != 'aarch64',
            'function:retry': lambda l: any('retry' in f['function'] for f in l.get('crashed', {}).get('frames', [])),
            'core:transcode.12': lambda l: 'transcode.12' in l['core'],
            'is:failed': lambda l: 'error' in l,
            'time:2026-10-10..2026-10-12': lambda l: '2026-10-10' <= l['time'][:10] <= '2026-10-12',
            'panic:"range [7]"': lambda l: 'range [7]' in l.get('go', {}).get('panic', {}).get('text', ''),
        }
        for words, test in cases.items():
            with self.subTest(words):
                filter_page(self.browser, words)
                wanted = [line for line in self.lines if test(line)]
                self.assertTrue(wanted)
                self.assertEqual(shown_counts(self.browser), counts(wanted)[:50])

    def test_group(self):
        best = collections.Counter(map(group_of, self.lines)).most_common(1)[0][0]
        members = [line for line in self.lines if group_of(line) == best]
        self.browser.run('document.querySelector("#groups a").click()')
        detail = self.text('#detail')
        self.assertIn(best[1].split(' < ')[0], detail)
        self.assertIn('%s (' % format(len(members), ','), detail)
        for line in members[:1] + members[-1:]:
            for frame in line['crashed']['frames']:
                if frame['function'] != 'retry':
                    self.assertIn(frame['function'], detail)
        last = max(members, key=lambda line: line['time'])
        self.assertIn('gocore-stub ' + last['core'], detail)
        self.picture(self.browser, 'group')

    def test_lines_are_real(self):
        """What is tested here is what triage writes: by the schema."""
        try:
            import jsonschema
        except ImportError:
            self.skipTest('python3-jsonschema is not installed')
        with open(os.path.join(gocore.SOURCE, 'doc', 'schema', 'triage-1.schema.json')) as f:
            schema = jsonschema.Draft202012Validator(json.load(f))
        for line in self.lines[:2000]:
            self.assertEqual([error.message for error in schema.iter_errors(line)], [])

    def test_list_picture(self):
        self.picture(self.browser, 'list')

    def test_goroutines(self):
        filter_page(self.browser, 'panic:deadlock')
        self.browser.run('document.querySelector("#groups a").click()')
        self.assertIn('chan receive', self.text('#detail'))
        self.browser.run('document.querySelectorAll("#detail details").forEach(d => { d.open = true; })')
        self.soon(lambda: 'runtime.gopark' in self.text('#detail'), True)
        self.browser.run('[...document.querySelectorAll("h2")].find(h => h.textContent == "Goroutines").scrollIntoView()')
        self.picture(self.browser, 'goroutines')

    def test_keys(self):
        self.browser.keys('jj')
        self.soon(lambda: self.browser.run('return [...document.querySelectorAll("#groups a")].findIndex(a => a.getAttribute("aria-current"))'), 1)
        self.browser.keys('/')
        self.soon(lambda: self.browser.run('return document.activeElement.id'), 'filter')
        self.browser.keys('ledger')
        self.soon(lambda: shown_counts(self.browser), counts([line for line in self.lines if 'ledger' in json.dumps(line)])[:50])
        self.browser.keys('\ue00c')
        self.soon(lambda: self.browser.run('return document.getElementById("filter").value'), '')

    def test_address(self):
        """What is shown can be sent to somebody else."""
        filter_page(self.browser, 'arch:aarch64')
        self.browser.run('document.querySelector("#groups a").click()')
        address, detail = self.browser.run('return location.href'), self.text('#detail h2')
        self.browser.open('about:blank')
        self.browser.open(address)
        self.assertEqual(self.text('#detail h2'), detail)
        self.assertEqual(self.browser.run('return document.getElementById("filter").value'), 'arch:aarch64')

    def test_hostile_texts(self):
        lines = list(generate.lines(40, seed=5))
        for line in (line for line in lines[:30] if 'signature' in line):
            line['core'] += HOSTILE + "'; rm -rf x'\n"
            line['program'] = line['signature']['top'] = HOSTILE
            line['crashed']['frames'][0]['function'] = line['crashed']['function'] = HOSTILE
            line['crashed']['registers'] = {HOSTILE: HOSTILE, '__proto__': '0x1', 'constructor': '0x2'}
            line['problems'] = [{'where': 'x', 'what': HOSTILE}]
            line['go'] = {'version': HOSTILE, 'panic': {'text': HOSTILE, 'type': '\u2028\x01\x1b[31m'}}
        self.browser.open('file://' + report(lines, self.folder.name, 'hostile'))
        self.browser.run('document.querySelector("#groups a").click()')
        self.assertIsNone(self.browser.run('return window.owned'))
        self.assertEqual(self.browser.run('return document.querySelectorAll("img").length'), 0)
        self.assertIn(HOSTILE, self.text('#detail'))
        commands = self.browser.run('return [...document.querySelectorAll(".command code")].map(e => e.textContent)')
        paths = {line['core'] for line in lines}
        for command in commands:
            words = subprocess.run(['bash', '-c', 'gocore-stub() { printf %%s "$1"; }; %s' % command], capture_output=True, text=True, check=True)
            self.assertIn(words.stdout, paths)

    def test_odd_lines(self):
        """Lines that lack almost everything, and none at all."""
        odd = [{'schema': 'gocore-stub/triage/1', 'core': 'x%d' % i, 'problems': []} for i in range(3)]
        odd += [{**line, 'crashed': 7, 'signature': [], 'go': 'x', 'signal': None, 'time': 'x', 'goroutine_groups': {}} for line in generate.lines(3)]
        self.browser.open('file://' + report(odd, self.folder.name, 'odd'))
        self.assertEqual(sum(shown_counts(self.browser)), 6)
        self.browser.run('document.querySelector("#groups a").click()')
        self.browser.open('file://' + report([], self.folder.name, 'none'))
        self.assertIn('no cores', self.text('#detail'))

    def test_dark_and_phone(self):
        few = report(list(generate.lines(3000)), self.folder.name, 'few')
        with webdriver.Chromium(390, 800, phone=True) as phone:
            phone.open('file://' + few)
            self.assertLessEqual(phone.run('return document.documentElement.scrollWidth'), 390)
            self.picture(phone, 'phone-list')
            phone.run('document.querySelector("#groups a").click()')
            self.assertLessEqual(phone.run('return document.documentElement.scrollWidth'), 390)
            self.picture(phone, 'phone-group')
            phone.run('document.querySelector("#detail .back").click()')
            self.assertFalse(phone.run('return document.body.classList.contains("reading")'))
            self.assertEqual(phone.console(), [])
        self.browser.open('file://' + few)
        self.browser.run('document.getElementById("theme").click(); document.querySelector("#groups a").click()')
        self.assertEqual(self.browser.run('return document.documentElement.dataset.theme'), 'dark')
        self.picture(self.browser, 'dark')
        self.browser.run('document.getElementById("theme").click()')


if __name__ == '__main__':
    unittest.main(verbosity=2)
