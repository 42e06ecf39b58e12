#!/usr/bin/env python3
"""What a dead process cannot do, asked of Delve: one clear sentence each time, and afterwards the same
threads at the same place. DLVS, GOCORE_UNPACKED: as in tests/delve/questions.py."""
import os
import re
import signal
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), os.path.join(HERE, '..', 'go')]
import delve
import gocore
import goroutines as printed

RUN = r'E\.gocore-stub: this is a core file, it cannot be run'
STOP = r'E\.gocore-stub: this is a core file, nothing in it can stop at a breakpoint'
WRITE = r'E\.gocore-stub: this is a core file, its memory cannot be changed'
REFUSED = [
    ('continue', RUN), ('step-instruction', RUN), ('next', STOP), ('step', STOP), ('stepout', STOP),
    ('break runtime.gopark', STOP), ('trace runtime.gopark', STOP), ('watch -w runtime.allglen', STOP),
    ('continue runtime.gopark', STOP), ('set runtime.allglen = 5', WRITE),
    # Delve has reasons of its own before it writes
    ('call main.main()', r'not enough stack space|no goroutine selected|can not call|cannot call|' + WRITE + '|' + RUN),
    ('print *(*int)(0x10)', r'0x10 is not in the core'), ('dump /nonexistent/dump', r'(?i)not supported'),
    ('rewind', r'(?i)not available|not supported|can not'),
]
STATE = ['threads', 'goroutine', 'print runtime.allglen', 'goroutine 1 bt']


class RunControl(unittest.TestCase):
    def each(self, check, every=False):
        asked = 0
        for dlv in delve.delves():
            for case in printed.cases():
                if re.match(r'(panic|segv)-go1\.\d+(-delve)?$', case.name) and delve.is_host(case) and dlv.takes(case):
                    with self.subTest('%s, %s' % (dlv, case)):
                        check(dlv, case)
                    asked += 1
                    if not every:
                        break
        if not asked:
            self.skipTest('none of these Delves takes one of the cores')

    def test_refused(self):
        def check(dlv, case):
            questions = [*STATE, *(q for command, _ in REFUSED for q in (command, *STATE))]
            _, answers = delve.ask(dlv.stub(case), questions)
            before, rest = answers[:4], answers[4:]
            for i, (command, says) in enumerate(REFUSED):
                answer, *after = rest[5 * i:5 * i + 5]
                self.assertRegex(answer, says, command)
                self.assertEqual(after, before, 'after ' + command)
            self.assertRegex(before[2], r'^\d+$')
        self.each(check, every=True)

    def test_breakpoints_leave_nothing(self):
        """A breakpoint that Delve takes for set would be in the way of the next command."""
        def check(dlv, case):
            _, (_, _, answer, again) = delve.ask(dlv.stub(case), ['break runtime.gopark', 'next', 'breakpoints', 'next'])
            self.assertNotRegex(answer, r'gopark')
            self.assertRegex(again, STOP)
        self.each(check)

    def test_restart(self):
        """It starts the helper anew, and that opens the core anew."""
        def check(dlv, case):
            before, restarted, after = delve.ask(dlv.stub(case), ['goroutines -l', 'restart', 'goroutines -l'])[1]
            self.assertRegex(restarted, r'Process restarted with PID \d+')
            unmarked = [re.sub(r'(?m)^\*', ' ', text) for text in (before, after)]
            self.assertEqual(*unmarked)
            # with arguments, which a dead program does not get
            self.assertIn('Process restarted', delve.ask(dlv.stub(case), ['restart a b', 'threads'])[1][0])
        self.each(check)

    def test_quit(self):
        """However Delve is left, it ends, and so does its helper."""
        def check(dlv, case):
            for words in (['quit'], ['exit'], []):
                done = subprocess.run(dlv.stub(case), input=''.join(w + '\n' for w in words), text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * gocore.SLOW)
                self.assertEqual(done.returncode, 0, done.stdout) # at its end: the helper had the pipe too
        self.each(check)

    def test_interrupt(self):
        """SIGINT, as by ^C, while nothing runs."""
        def check(dlv, case):
            proc = subprocess.Popen(dlv.stub(case), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True, start_new_session=True)
            with proc:
                said = ''
                while "for list of commands" not in said:
                    line = proc.stdout.readline()
                    self.assertTrue(line, said)
                    said += line
                proc.stdin.write('print "@@before"\n')
                proc.stdin.flush()
                while '@@before' not in said:
                    said += proc.stdout.readline()
                os.kill(proc.pid, signal.SIGINT)
                out = proc.communicate('continue\nthreads\nquit\n', timeout=60 * gocore.SLOW)[0]
            self.assertRegex(out, RUN)
            self.assertRegex(out, r'Thread \d+ at')
        self.each(check)


if __name__ == '__main__':
    gocore.main()
