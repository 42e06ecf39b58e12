"""What the tests with Delve share: which Delves there are, and questions to them.

DLVS: the Delves to test with, separated by spaces or colons (default: dlv in PATH).
"""
import os
import platform
import re
import shutil
import subprocess
import unittest

import gocore

ANSI = re.compile(r'\x1b\[[0-9;]*m')
REFUSED = re.compile(r'too old|Delve must be built with')


class Delve:
    def __init__(self, path):
        self.path = path
        out = subprocess.run([path, 'version'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                             timeout=60, check=True).stdout
        self.version = re.search(r'Version: (\S+)', out)[1]
        self.known = {}

    def __str__(self):
        return 'Delve ' + self.version

    def takes(self, case):
        """Does its own core reader take a core of this version of Go?"""
        key = str(case)
        if key not in self.known:
            self.known[key] = not REFUSED.search(run(self.core(case), ['quit']))
        return self.known[key]

    def core(self, case, *options):
        return [self.path, 'core', '--allow-non-terminal-interactive=true', *options, case.bin, case.core]

    def stub(self, case, *options, ours=()):
        return [*gocore.STUB, 'dlv', case.core, case.bin, '--dlv=' + self.path, '--sysroot=' + case.sysroot, *ours,
                *gocore.OPTIONS, *(['--', *options] if options else [])]


def delves():
    """At least one, or the test is skipped."""
    named = [d for d in re.split(r'[:\s]+', os.environ.get('DLVS', '')) if d]
    found = [p for p in (shutil.which(d) for d in named or ['dlv']) if p]
    if not found:
        raise unittest.SkipTest('no Delve (looked for %s)' % (', '.join(named) or 'dlv'))
    return [Delve(p) for p in found]


def is_host(case):
    """Delves are taken for such of this host, as those of the distributions are."""
    return platform.machine() == case.arch


def run(args, commands, timeout=60, **kwargs):
    """Its whole output on these commands, without colours."""
    env = dict(os.environ, TERM='dumb', HOME='/nonexistent', **kwargs.pop('env', {}))
    try:
        out = subprocess.run(args, input=''.join(c + '\n' for c in commands), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors='replace', env=env,
                             timeout=timeout * gocore.SLOW, **kwargs).stdout
    except subprocess.TimeoutExpired as e:
        raise AssertionError('%s hangs:\n%s' % (args, e.stdout)) from None
    return ANSI.sub('', out)


def ask(args, questions, **kwargs):
    """@return (what came before, an answer for each question)"""
    commands = ['print "@@begin"']
    for question in questions:
        commands += [question, 'print "@@next"']
    out = run(args, [*commands, 'quit'], **kwargs)
    before, *parts = re.split(r'^(?:\(dlv\) )*"@@(?:begin|next)"\n', out, flags=re.M)
    if len(parts) != len(questions) + 1:
        raise AssertionError('%d answers to %d questions:\n%s' % (len(parts) - 1, len(questions), out))
    return before, [re.sub(r'^(?:\(dlv\) ?)+', '', part).rstrip() for part in parts[:-1]]
