"""A browser without a display, driven by the WebDriver protocol (W3C) with the standard library alone."""
import base64
import json
import shutil
import socket
import subprocess
import time
import unittest
import urllib.error
import urllib.request

ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Chromium:
    """Use as a context manager."""

    def __init__(self, width=1280, height=900, dark=False, phone=False):
        chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
        driver = shutil.which('chromedriver')
        if not chromium or not driver:
            raise unittest.SkipTest('chromium and chromedriver are not installed (Debian: chromium-driver)')
        args = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
                '--no-first-run', '--disable-extensions', '--window-size=%d,%d' % (width, height)]
        if dark:
            args.append('--force-dark-mode')
        options = {'binary': chromium, 'args': args}
        if phone:
            options['mobileEmulation'] = {'deviceMetrics': {'width': width, 'height': height, 'pixelRatio': 1, 'touch': True}}
        self.port = free_port()
        self.proc = subprocess.Popen([driver, '--port=%d' % self.port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.base = 'http://127.0.0.1:%d' % self.port
        self._wait()
        try:
            answer = self._call('POST', '/session', {'capabilities': {'alwaysMatch': {
                'browserName': 'chrome', 'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}}})
        except AssertionError as e:
            self.proc.kill()
            self.proc.wait()
            raise unittest.SkipTest('chromium does not start on this machine: %s' % e.args[0][:200]) from None
        self.session = '/session/' + answer['sessionId']

    def _wait(self):
        for _ in range(200):
            try:
                if self._call('GET', '/status')['ready']:
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError('chromedriver does not answer')

    def _call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method, headers={'Content-Type': 'application/json'},
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)['value']
        except urllib.error.HTTPError as e:
            raise AssertionError(e.read().decode(errors='replace')[:2000]) from None

    def call(self, method, path, body=None):
        return self._call(method, self.session + path, body)

    def open(self, path):
        """Returns when the page and its scripts are there; the driver alone may return before the new page has replaced the old."""
        self.call('POST', '/url', {'url': path})
        for _ in range(600):
            if self.run('return document.readyState === "complete" && location.href.split("#")[0] === arguments[0].split("#")[0]', path):
                return
            time.sleep(0.05)
        raise AssertionError('the page is not loaded: ' + path)

    def run(self, script, *args):
        """Run the body of a function in the page."""
        return self.call('POST', '/execute/sync', {'script': script, 'args': list(args)})

    def run_async(self, script, *args):
        """As run; the function ends by calling its last argument."""
        return self.call('POST', '/execute/async', {'script': script, 'args': list(args)})

    def keys(self, text):
        """Type at what has the focus."""
        actions = [{'type': kind, 'value': c} for c in text for kind in ('keyDown', 'keyUp')]
        self.call('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': actions}]})

    def screenshot(self, path):
        with open(path, 'wb') as f:
            f.write(base64.b64decode(self.call('GET', '/screenshot')))

    def console(self):
        """What the page complained of."""
        return [entry for entry in self.call('POST', '/se/log', {'type': 'browser'}) if entry['level'] in ('SEVERE', 'WARNING')]

    def close(self):
        try:
            self.call('DELETE', '')
        except (OSError, AssertionError):
            pass
        self.proc.terminate()
        self.proc.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
