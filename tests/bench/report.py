#!/usr/bin/env python3
"""How long the page of `report` takes on 50,000 and 100,000 lines: to be made, to be opened, and to answer a filter, in headless Chromium.

GOCORE_BUILD and GOCORE_SOURCE as in make check."""
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'report'))
import generate
import page

WORDS = ['parse', 'parse_h', 'signal:SIGBUS', 'node-07', 'x86_64 -retry', '(*cart)', 'core.checkout.4', 'zzz', '']


def measure(lines):
    with tempfile.TemporaryDirectory() as folder, page.webdriver.Chromium() as browser:
        begin = time.monotonic()
        file = page.report(generate.lines(lines), folder)
        made = time.monotonic() - begin
        begin = time.monotonic()
        browser.open('file://' + file)
        opened = time.monotonic() - begin
        took = sorted(page.filter_page(browser, word + ' ' * i) for i in range(3) for word in WORDS)
        print('%7d lines: %5.1f MB, lines and page made in %.1f s, opened in %.2f s, filter: median %3.0f ms, longest %3.0f ms; complaints: %d' % (
            lines, os.path.getsize(file) / 1e6, made, opened, took[len(took) // 2], took[-1], len(browser.console())))


for count in (50000, 100000):
    measure(count)
