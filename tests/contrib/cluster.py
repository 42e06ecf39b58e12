#!/usr/bin/env python3
"""Triage cut into parts by GNU parallel (over ssh where sshd is installed) and by Slurm gives the lines of one run;
the Kubernetes manifest is as the API has it. Daemons run from a folder of their own, for this test only."""
import contextlib
import getpass
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

CONTRIB = os.path.join(gocore.SOURCE, 'contrib')
PARTS = 4
PATH = os.environ['PATH'] + ':/usr/sbin:/sbin'


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=PATH):
            raise unittest.SkipTest('%s is not installed' % program)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(('127.0.0.1', port)) == 0


def read_file(path):
    with open(path, errors='replace') as f:
        return f.read()


def read_lines(*paths):
    """Lines without what differs from run to run."""
    out = []
    for path in paths:
        with open(path) as f:
            for text in f:
                line = json.loads(text)
                line.pop('elapsed_ms')
                out.append(json.dumps(line, sort_keys=True))
    return sorted(out)


def wait_for(what, seconds, text):
    end = time.monotonic() + seconds * gocore.SLOW
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.1)
    raise AssertionError(text())


class Cluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.TemporaryDirectory(prefix='gcc')
        cls.addClassCleanup(cls.tmp.cleanup)
        cls.options = [os.path.join(gocore.CORES, arch) for arch in gocore.ARCHES]
        cls.stub = os.path.join(cls.tmp.name, 'stub')
        with open(cls.stub, 'w') as f:
            f.write('#!/bin/sh\nexec %s "$@"\n' % ' '.join(gocore.STUB))
        os.chmod(cls.stub, 0o755)
        whole = os.path.join(cls.tmp.name, 'whole.ndjson')
        done = subprocess.run([*gocore.STUB, 'triage', *cls.options, '-o', whole], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 3), done.stderr
        cls.whole = read_lines(whole)
        assert len(cls.whole) > 10

    def folder(self, name):
        path = os.path.join(self.tmp.name, name)
        os.mkdir(path)
        return path

    def check_parts(self, out):
        parts = sorted(glob.glob(os.path.join(out, 'part-*.ndjson')))
        self.assertEqual(len(parts), PARTS)
        self.assertEqual(read_lines(*parts), self.whole)
        for part in parts:
            self.assertLess(len(read_lines(part)), len(self.whole))

    def parallel(self, hosts, out, stub=None):
        done = subprocess.run([os.path.join(CONTRIB, 'parallel', 'triage-parallel'), '-n', str(PARTS), '-H', hosts, '-o', out, '--', *self.options],
                              env={**os.environ, 'GOCORE_STUB': stub or self.stub}, capture_output=True, text=True, check=False, cwd=self.tmp.name)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_parallel_here(self):
        need('parallel')
        out = self.folder('here')
        self.parallel(':', out)
        self.check_parts(out)
        self.parallel(':', out)     # nothing is left to do
        self.check_parts(out)

    def failing_stub(self, once):
        """A program that fails at the second part, the first time."""
        path = once + '.sh'
        with open(path, 'w') as f:
            f.write('#!/bin/sh\ncase "$*" in *--shard=2/*) [ -e %s ] || { : > %s; exit 1; } ;; esac\nexec %s "$@"\n' % (once, once, self.stub))
        os.chmod(path, 0o755)
        return path

    def test_parallel_tries_again(self):
        need('parallel')
        out, once = self.folder('again'), os.path.join(self.tmp.name, 'failed-once')
        self.parallel(':', out, self.failing_stub(once))
        self.assertTrue(os.path.exists(once))
        self.check_parts(out)

    def test_parallel_over_ssh(self):
        need('parallel', 'sshd', 'ssh', 'ssh-keygen')
        if os.geteuid() != 0:
            self.skipTest('sshd needs root')
        home, port = self.folder('ssh'), free_port()
        for key in ('host', 'user'):
            subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', os.path.join(home, key)], check=True)
        os.makedirs('/run/sshd', exist_ok=True)
        config = os.path.join(home, 'sshd_config')
        with open(config, 'w') as f:
            f.write('Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nPidFile none\n'
                    'PermitRootLogin yes\nMaxStartups 100\n' % (port, home, home))
        with self.daemon([shutil.which('sshd', path=PATH), '-D', '-e', '-f', config], home, 'sshd'):
            wait_for(lambda: answers(port), 20, lambda: self.log(home, 'sshd'))
            login = ('ssh -p %d -i %s/user -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=%s/known -o LogLevel=ERROR %s@127.0.0.1'
                     % (port, home, home, getpass.getuser()))
            out = self.folder('over-ssh')
            self.parallel('2/' + login, out)
            self.check_parts(out)

    @contextlib.contextmanager
    def daemon(self, args, home, name, env=None):
        with open(os.path.join(home, name + '.out'), 'wb') as log:
            proc = subprocess.Popen(args, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env, start_new_session=True)
            try:
                yield proc
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(proc.pid, signal.SIGTERM)
                try:
                    proc.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(proc.pid, signal.SIGKILL)
                    proc.wait()

    def log(self, home, *names):
        return ''.join('%s:\n%s\n' % (name, read_file(os.path.join(home, name + '.out'))[-3000:]) for name in names)

    @staticmethod
    def cannot_run(home):
        return 'Unable to initialize cgroup plugin' in read_file(os.path.join(home, 'slurmd.out'))

    def write_slurm(self, home):
        host, config = socket.gethostname().split('.')[0], os.path.join(home, 'slurm.conf')
        for name in ('state', 'spool'):
            os.mkdir(os.path.join(home, name))
        with open(config, 'w') as f:
            f.write('''ClusterName=test
SlurmctldHost=%(host)s(127.0.0.1)
SlurmctldPort=%(ctld)d
SlurmdPort=%(slurmd)d
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=%(home)s/munge.socket
CryptoType=crypto/munge
CredType=cred/munge
StateSaveLocation=%(home)s/state
SlurmdSpoolDir=%(home)s/spool
SlurmctldPidFile=%(home)s/slurmctld.pid
SlurmdPidFile=%(home)s/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MinJobAge=300
ReturnToService=2
JobRequeue=1
NodeName=%(host)s NodeAddr=127.0.0.1 CPUs=%(cpus)d State=UNKNOWN
PartitionName=all Nodes=%(host)s Default=YES MaxTime=INFINITE State=UP
''' % {'host': host, 'home': home, 'ctld': free_port(), 'slurmd': free_port(), 'cpus': os.cpu_count()})
        return config

    @contextlib.contextmanager
    def slurm(self, home):
        config = self.write_slurm(home)
        env = {**os.environ, 'PATH': PATH, 'SLURM_CONF': config}
        key = os.path.join(home, 'munge.key')
        with open(key, 'wb') as f:
            f.write(os.urandom(128))
        os.chmod(key, 0o600)
        munge = ['munged', '-F', '--force', '--key-file=' + key, '--socket=%s/munge.socket' % home, '--pid-file=%s/munged.pid' % home,
                 '--log-file=%s/munged.log' % home, '--seed-file=%s/munged.seed' % home]
        with self.daemon(munge, home, 'munged', env):
            wait_for(lambda: os.path.exists(home + '/munge.socket'), 20, lambda: self.log(home, 'munged'))
            with self.daemon(['slurmctld', '-D', '-f', config], home, 'slurmctld', env), self.daemon(['slurmd', '-D', '-f', config], home, 'slurmd', env):
                def is_idle():
                    done = subprocess.run(['sinfo', '-h', '-o', '%T'], env=env, capture_output=True, text=True, check=False)
                    return 'idle' in done.stdout
                wait_for(lambda: is_idle() or self.cannot_run(home), 60, lambda: self.log(home, 'slurmctld', 'slurmd'))
                if self.cannot_run(home):
                    self.skipTest('slurmd wants control groups, which this machine has not mounted')
                yield env

    def wait_for_array(self, env, job, home):
        """Until all tasks have ended; what is queued again need not wait for the two minutes that Slurm gives a node."""
        def is_over():
            done = subprocess.run(['scontrol', '-o', 'show', 'job', job], env=env, capture_output=True, text=True, check=False)
            states = []
            for record in done.stdout.splitlines():
                about = dict(word.split('=', 1) for word in record.split() if '=' in word)
                states.append(about['JobState'])
                if about['JobState'] == 'PENDING' and about['Reason'] == 'BeginTime':
                    subprocess.run(['scontrol', 'update', 'JobId=' + about['JobId'], 'StartTime=now'], env=env, capture_output=True, check=False)
            return len(states) == PARTS and all(state in ('COMPLETED', 'FAILED', 'CANCELLED', 'NODE_FAIL', 'TIMEOUT') for state in states)
        wait_for(is_over, 200, lambda: self.log(home, 'slurmctld', 'slurmd'))

    def test_slurm(self):
        need('munged', 'slurmctld', 'slurmd', 'sbatch')
        if os.geteuid() != 0:
            self.skipTest('slurmd needs root')
        home, out = self.folder('slurm'), os.path.join(self.tmp.name, 'by-slurm')
        os.chmod(self.tmp.name, 0o755)
        once = os.path.join(self.tmp.name, 'failed-once-in-slurm')
        with self.slurm(home) as env:
            command = ['sbatch', '--parsable', '--array=1-%d' % PARTS, '--chdir=' + home,
                       os.path.join(CONTRIB, 'slurm', 'triage.sbatch'), out, *self.options]
            done = subprocess.run(command, env={**env, 'GOCORE_STUB': self.failing_stub(once)},
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr + self.log(home, 'slurmctld'))
            self.wait_for_array(env, done.stdout.strip(), home)
            logs = ''.join(map(read_file, sorted(glob.glob(home + '/triage-*.log'))))
        self.assertTrue(os.path.exists(once))
        self.assertIn('once more', logs)
        self.check_parts(out)


class Manifest(unittest.TestCase):
    def test_kubernetes(self):
        """Every key is one of the API's, and every required one is there, by the models of its Python client."""
        try:
            import yaml
            import kubernetes.client as api
        except ImportError as e:
            self.skipTest('%s is not installed' % e.name)
        with open(os.path.join(CONTRIB, 'kubernetes', 'triage-job.yaml')) as f:
            job = yaml.safe_load(f)
        self.assertEqual((job['apiVersion'], job['kind']), ('batch/v1', 'Job'))
        self.check(api, 'V1Job', job, 'Job')
        env = {e['name']: e['value'] for e in job['spec']['template']['spec']['containers'][0]['env']}
        self.assertEqual(env['PARTS'], str(job['spec']['completions']))

    def check(self, api, kind, value, where):
        for opening in ('list[', 'dict('):
            if kind.startswith(opening):
                inner = kind[len(opening):-1].split(', ')[-1]
                for i, each in enumerate(value if opening == 'list[' else value.values()):
                    self.check(api, inner, each, '%s[%d]' % (where, i))
                return
        model = getattr(api, kind, None)
        if model is None:
            wanted = {'str': str, 'int': int, 'bool': bool}.get(kind)
            if wanted:
                self.assertIsInstance(value, wanted, where)
            return
        names = {json_name: name for name, json_name in model.attribute_map.items()}
        for key, inner in value.items():
            self.assertIn(key, names, where)
            self.check(api, model.openapi_types[names[key]], inner, where + '.' + key)
        model(**{names[key]: inner for key, inner in value.items()})     # raises where a required one is missing


if __name__ == '__main__':
    unittest.main(verbosity=2)
