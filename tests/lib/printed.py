"""What the Go runtime printed when the programs of the test cores died (runtime/traceback.go)."""
import collections
import os
import re

import gocore


# Cores

def cases():
    """Go cores, each once."""
    seen, base = set(), os.environ.get('GOCORE_UNPACKED')
    for arch in gocore.ARCHES:
        if base and os.path.isdir(os.path.join(base, arch)):
            for name in sorted(os.listdir(os.path.join(base, arch))):
                if re.search(r'-go1\.', name) and os.path.exists(os.path.join(base, arch, name, 'bin')):
                    seen.add((arch, name))
                    yield gocore.Unpacked(base, arch, name)
        for name in sorted(os.listdir(os.path.join(gocore.CORES, arch))):
            if re.search(r'-go1\.', name) and (arch, name) not in seen and os.path.exists(
                    os.path.join(gocore.CORES, arch, name, 'bin.zst')):
                yield gocore.Case(arch, name)


def exceptions():
    """{'ARCH/CASE': {'GOID', 'minutes', ...}}"""
    out = collections.defaultdict(set)
    with open(os.path.join(gocore.SOURCE, 'tests', 'go', 'exceptions.txt')) as f:
        for line in f:
            if line.strip() and not line.startswith('#'):
                case, what, _reason = line.split(None, 2)
                out[case].add(what)
    return out


# Tracebacks

Frame = collections.namedtuple('Frame', 'function file line pc sp')
Printed = collections.namedtuple('Printed', 'goid state minutes locked frames creator')
HEADER = re.compile(r'goroutine (\d+)(?: gp=0x[0-9a-f]+ m=(?:nil|\d+ mp=0x[0-9a-f]+))? \[([^\]]+)\]:')
POSITION = re.compile(r'\t(.+):(\d+)(?: \+0x[0-9a-f]+)?(?: fp=0x[0-9a-f]+ sp=(0x[0-9a-f]+) pc=(0x[0-9a-f]+))?')


def without_arguments(call):
    """main.(*T).f({0x1, 0x2}, (...)) -> main.(*T).f"""
    depth = 0
    for i in range(len(call) - 1, -1, -1):
        depth += (call[i] == ')') - (call[i] == '(')
        if depth == 0:
            return call[:i]
    raise ValueError('no call: ' + call)


def goroutine_of(block):
    header = HEADER.fullmatch(block[0])
    state, *more = header[2].split(', ')
    minutes = [int(m[1]) for m in (re.fullmatch(r'(\d+) minutes', word) for word in more) if m]
    frames, creator = [], None
    for call, place in zip(block[1::2], block[2::2]):
        at = POSITION.fullmatch(place)
        if not at:
            raise ValueError('no position: ' + place)
        made = re.fullmatch(r'created by (.+?)(?: in goroutine (\d+))?', call)
        if made:
            creator = (made[1], at[1], int(at[2]), made[2] and int(made[2]))
        else:
            frames.append(Frame(without_arguments(call), at[1], int(at[2]), at[4], at[3]))
    return Printed(int(header[1]), state, minutes[0] if minutes else 0, 'locked to thread' in more, frames, creator)


def tracebacks(text):
    """All goroutines in it but the scheduler's (goroutine 0)."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if not HEADER.fullmatch(line) or line.startswith('goroutine 0 '):
            continue
        end = i + 1
        while end + 1 < len(lines) and lines[end + 1].startswith('\t'):
            end += 2
        yield goroutine_of(lines[i:end])
