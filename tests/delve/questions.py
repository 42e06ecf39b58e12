#!/usr/bin/env python3
"""gocore-stub dlv: what Delve shows of a core through it is what Delve's own core reader shows, and
what the program printed before it died (expect.txt). A core of this host's architecture goes by the
remote protocol, one of another by the core reader, and both answer the same questions.

DLVS: the Delves to test with (default: dlv in PATH). GOCORE_UNPACKED: as in tests/go/goroutines.py.
"""
import os
import re
import struct
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), os.path.join(HERE, '..', 'go')]
import delve
import gocore
import goroutines as printed

FRAME = re.compile(r'^ *(\d+)  (0x[0-9a-f]+) in (\S.*)\n +at (\S+):(-?\d+)', re.M)
# Registers that Delve's core reader does not look for.
EXTRA_REGISTERS = re.compile(r'^ *(K\d|(XMM|YMM|ZMM)\d+\w*|\t?\[[YZ]MM.*|Orig_rax|Pkru|Pl3_ssp)\b.*\n?', re.M)
CHATTER = re.compile(r'^(xcr0: .*|Warning: .*)\n', re.M)
PARKED = re.compile(r'chan |select|sleep|sync\.|IO wait|semacquire|GC |force gc|finalizer')

# struct user_regs_struct of x86 and user_pt_regs of arm64, and where it is in NT_PRSTATUS; None: not compared
REGISTERS = {
    'x86_64': (['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi',
                None, 'rip', 'cs', 'rflags', 'rsp', 'ss', 'fs_base', 'gs_base', 'ds', 'es', 'fs', 'gs'], 112),
    'aarch64': (['x%d' % i for i in range(31)] + ['sp', 'pc'], 112),
}


def prstatus(data):
    """Offset of the first NT_PRSTATUS in a core."""
    phoff, = struct.unpack_from('<Q', data, 32)
    count, = struct.unpack_from('<H', data, 56)
    for i in range(count):
        kind, _, offset = struct.unpack_from('<IIQ', data, phoff + 56 * i)
        while kind == 4:
            namesz, descsz, note = struct.unpack_from('<III', data, offset)
            if note == 1:
                return offset + 12 + (namesz + 3 & ~3)
            offset += 12 + (namesz + 3 & ~3) + (descsz + 3 & ~3)
    raise ValueError('no NT_PRSTATUS')


def compared(answer):
    """Without what is not the same each time, or not in both."""
    return CHATTER.sub('', answer).strip()


def frames(answer):
    return [(m[3], m[4], int(m[5])) for m in FRAME.finditer(answer)]


def tested(case):
    return re.fullmatch(r'(panic|segv|hello|busy)-go1\.\d+(-filter21|-gcore|-delve)?', case.name)


class Questions(unittest.TestCase):
    maxDiff = None

    def each(self, check, host):
        asked = 0
        for dlv in delve.delves():
            for case in printed.cases():
                if tested(case) and delve.is_host(case) == host and dlv.takes(case):
                    with self.subTest('%s, %s' % (dlv, case)):
                        check(dlv, case)
                        asked += 1
        if not asked:
            self.skipTest('none of these Delves takes one of the cores')

    def goids(self, answer):
        return [int(g) for g in re.findall(r'^[* ]*Goroutine (\d+) ', answer, flags=re.M)]

    def questions(self, dlv, case):
        """The same of both ways; goroutines by their ids, of which the first and the last are enough."""
        _, (rows,) = delve.ask(dlv.core(case), ['goroutines'])
        goids = self.goids(rows)
        self.assertTrue(goids, rows)
        some = goids[:4] + goids[-3:]
        main = 'panic' in case.name
        return ['threads', 'goroutines -l', 'goroutines -u', 'bt', 'regs', 'disassemble', 'list', 'args', 'locals',
                *('goroutine %d bt' % g for g in some), *('goroutine %d frame 3 locals' % g for g in some),
                *('goroutine %d frame 2 args' % g for g in some), 'goroutine 1 frame 3 disassemble',
                'examinemem -fmt hex -count 32 -size 8 -x &runtime.allgs', 'print runtime.allglen',
                'print runtime.allgs[0].goid', 'print runtime.buildVersion', 'vars -v main\\.', 'whatis runtime.allgs',
                *(['print main.globalServer', 'print *main.globalServer', 'print main.globalMap',
                   'print main.globalIface'] if main else [])]

    def same(self, dlv, case):
        questions = self.questions(dlv, case)
        _, want = delve.ask(dlv.core(case), questions)
        before, got = delve.ask(dlv.stub(case), questions)
        self.assertIn('Delve ' + dlv.version, before)
        for question, a, b in zip(questions, want, got):
            if question == 'regs':
                b = EXTRA_REGISTERS.sub('', b)
            self.assertEqual(compared(b), compared(a), question)
            if question.startswith(('print', 'examinemem', 'regs', 'threads', 'bt')):
                self.assertNotIn('Command failed', a, question)

    def test_same_as_its_own_reader(self):
        self.each(self.same, host=True)

    def truth(self, dlv, case):
        """The goroutines that waited, as the runtime itself printed them; the threads, as the kernel dumped them."""
        expect = case.expect
        blocks = [g for g in printed.tracebacks(expect.sections.get('stderr', '')) if PARKED.match(g.state)]
        before, (threads, regs, *stacks) = delve.ask(dlv.stub(case), [
            'threads', 'regs', *('goroutine %d bt 100' % g.goid for g in blocks)])
        self.assertIn('Delve ' + dlv.version, before)
        if expect.tids:
            self.assertEqual(sorted(expect.tids), sorted(int(t) for t in re.findall(r'Thread (\d+) at', threads)))
            self.assertRegex(threads, r'(?m)^\* Thread %d at' % expect.tids[0])
            self.registers(case, regs)
        for want, answer in zip(blocks, stacks):
            got = frames(answer)
            self.assertEqual([f.function for f in want.frames], [f[0] for f in got], 'goroutine %d' % want.goid)
            # of the innermost one Delve shows the line that would be next
            self.assertEqual([(f.file, f.line) for f in want.frames[1:]], [f[1:] for f in got[1:]])
        if case.name.startswith('panic'):
            self.variables(dlv, case, next(g for g in blocks if g.goid == 1))

    def registers(self, case, answer):
        """Those of the first NT_PRSTATUS, which is the crashed thread's."""
        with open(case.core, 'rb') as f:
            data = f.read()
        names, first = REGISTERS[case.arch]
        want = struct.unpack_from('<%dQ' % len(names), data, prstatus(data) + first)
        got = {name.lower(): int(value, 16) for name, value in re.findall(r'^ *(\w+) = (0x\w+)', answer, flags=re.M)}
        self.assertEqual({n: v for n, v in zip(names, want) if n}, {n: got.get(n) for n in names if n})

    def variables(self, dlv, case, blocked):
        """What the program printed of main.main's request and of its globals."""
        stdout = case.expect.sections['stdout']
        addr = re.search(r'globalInt at (0x\w+)', stdout)[1]
        number = [f.function for f in blocked.frames].index('main.main')
        _, (value, local, request, memory, code, server) = delve.ask(dlv.stub(case), [
            'print main.globalInt', *('goroutine 1 frame %d %s' % (number, what) for what in ('locals', 'print *req')),
            'examinemem -fmt hex -count 1 -size 8 ' + addr, 'goroutine 1 frame %d disassemble' % number,
            'examinemem -fmt hex -count 1 -size 8 -x &main.globalServer'])
        self.assertEqual(value, '-42')
        self.assertIn('req = (*main.Request)(%s)' % re.search(r'^req = (0x\w+)', stdout, re.M)[1], local)
        self.assertRegex(request, r'ID: 77,\s+Path: "/fail",\s+Body: \[\]uint8 len: 7')
        self.assertRegex(memory, r'%s: +0x0*ffffffffffffffd6' % addr)
        frame = blocked.frames[number]
        self.assertRegex(code, r'main\.go:%d\s.*(?i:call).*runtime\.chanrecv1.*\n.*\s%s\s' % (frame.line, frame.pc))
        self.assertEqual(int(server.split(':')[1], 16), int(re.search(r'globalServer = (0x\w+)', stdout)[1], 16))

    def test_truth(self):
        self.each(self.truth, host=True)

    def test_truth_of_another_architecture(self):
        self.each(self.truth, host=False)


if __name__ == '__main__':
    gocore.main()
