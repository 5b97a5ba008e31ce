/**
 * Goal: a login is made in the guest and leaves it sealed: only the user's key opens it, an account is touched last and only
 * where the guest's administrator allowed it, what goes wrong is told in words, and what the work waited for is told in figures.
 */
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compactDecrypt, importJWK } from 'jose';
import t from 'tap';
import { createCredentialMaker, sealTo } from '../../agent/actuators/credential.ts';
import { type ProgramRun, runProgram } from '../../agent/actuators/run-program.ts';
import { openKernelFiles } from '../../agent/collectors/files.ts';
import { stalls } from '../../agent/collectors/pressure.ts';
import { authorizedKeysLine, openSshPrivateKey } from '../../agent/core/ssh-key.ts';
import { CredentialDesk, type CredentialMaker } from '../../agent/loops/credential-desk.ts';
import { createLogger } from '../../shared/log.ts';
import { createPrng } from '../../shared/prng.ts';
import type { FrameOf, PublicKey } from '../../shared/protocol/frames.ts';
import { checkFrame } from '../../shared/protocol/validate.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { testVmId } from '../support/fleet.ts';

const VM = testVmId(1);
const SECRET = 'correct horse battery staple';
const keyPair = (kind: 'x25519' | 'rsa') => {
  const { publicKey, privateKey } = kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('x25519');
  return { publicKey: publicKey.export({ format: 'jwk' }) as PublicKey, privateKey: privateKey.export({ format: 'jwk' }) };
};
const open = async (sealed: string, privateKey: object, alg: string): Promise<string> =>
  new TextDecoder().decode((await compactDecrypt(sealed, await importJWK(privateKey, alg))).plaintext);

t.test('sealed to X25519 and to RSA: the key of the pair opens it, another does not', async (t) => {
  for (const [kind, alg] of [
    ['x25519', 'ECDH-ES'],
    ['rsa', 'RSA-OAEP-256'],
  ] as const) {
    const { publicKey, privateKey } = keyPair(kind);
    const sealed = await sealTo(SECRET, publicKey);
    t.equal(await open(sealed, privateKey, alg), SECRET);
    t.notOk(sealed.includes(Buffer.from(SECRET).toString('base64url')));
    await t.rejects(open(sealed, keyPair(kind).privateKey, alg));
    const [header] = sealed.split('.');
    t.match(JSON.parse(Buffer.from(header!, 'base64url').toString()), { alg, enc: 'A256GCM' });
  }
});

t.test('the key file is what ssh-keygen writes, byte by byte; the line ends by itself and forwards nothing', async (t) => {
  const point = Buffer.from('7c69f3786dc9926e7ec7eccfd5ba14bb9c558a2e663fa0583324e3d200505fb7', 'hex');
  const seed = Buffer.from('92a9c38d8082ab976762db1d3a9116ce19a52c8e53f789e39c33bfb8818f93f8', 'hex');
  const file = openSshPrivateKey(point, seed, Buffer.from('cede9464', 'hex'), 'ops headroom-temporary');
  t.equal(
    createHash('sha256').update(file).digest('hex'),
    '125c7e021b4d1caf208b9a9cd8ee560fdb1601ce19e5e018dfe09b9af6c0a13f',
    'as ssh-keygen -t ed25519 wrote it',
  );
  const line = authorizedKeysLine(point, new Date(2026, 0, 9, 8, 5, 3).getTime(), 'ops headroom-temporary');
  t.match(line, /^restrict,pty,expiry-time="20260109080503" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHxp83htyZ[^ ]+ ops headroom-temporary\n$/);
});

/** A guest's root with the accounts of a small machine; `ops` is whoever runs this test where that is not root. */
function guestRoot(t: { teardown(end: () => unknown): void }): { root: string; uid: number } {
  const root = mkdtempSync(join(tmpdir(), 'headroom-credential-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const uid = process.getuid?.() || 61_234;
  const gid = process.getuid?.() === 0 ? 61_234 : (process.getgid?.() ?? uid);
  mkdirSync(join(root, 'etc'));
  mkdirSync(join(root, 'home/ops'), { recursive: true });
  if (process.getuid?.() === 0) chownSync(join(root, 'home/ops'), uid, gid);
  // A temporary folder is closed to others: the account must get through to its home.
  chmodSync(root, 0o755);
  writeFileSync(join(root, 'etc/passwd'), `root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nops:x:${uid}:${gid}::/home/ops:/bin/sh\n`);
  return { root, uid };
}

const makerOf = (root: string, over: Partial<Parameters<typeof createCredentialMaker>[0]> = {}): CredentialMaker =>
  createCredentialMaker({ account: 'ops', method: 'ssh-key', keyMs: 3_600_000, wallMs: () => 1_700_000_000_000, root, ...over });

t.test('only the account that was named, which exists and is not root', async (t) => {
  const { root } = guestRoot(t);
  await t.rejects(makerOf(root, { account: 'nobody-here' }).newSecret(), { code: 'ENVIRONMENT', message: /no account "nobody-here"/ });
  for (const account of ['root', 'toor'])
    await t.rejects(makerOf(root, { account }).newSecret(), { code: 'ENVIRONMENT', message: /is root/ });
});

t.test('password: long, new each time, handed to chpasswd on standard input and nowhere else', async (t) => {
  const { root } = guestRoot(t);
  const runs: ProgramRun[] = [];
  const maker = makerOf(root, { method: 'password', run: async (run) => void runs.push(run) });
  const [one, two] = [await maker.newSecret(), await maker.newSecret()];
  t.match(one.text, /^[A-HJ-NP-Za-km-z2-9]{24}$/);
  t.not(one.text, two.text);
  t.same(runs, [], 'nothing is changed before it is installed');
  await one.install();
  t.match(runs, [{ program: 'chpasswd', input: `ops:${one.text}\n` }]);
  t.notOk(JSON.stringify(runs[0]?.args ?? []).includes(one.text));
});

t.test('SSH key: added as the account itself beside its other keys, in place of ours of before; a refusal is told', async (t) => {
  const { root, uid } = guestRoot(t);
  const ssh = join(root, 'home/ops/.ssh');
  const maker = makerOf(root);
  await (await maker.newSecret()).install();
  const file = join(ssh, 'authorized_keys');
  const [first] = readFileSync(file, 'utf8').split('\n');
  t.match(first, /^restrict,pty,expiry-time="\d{14}" ssh-ed25519 /);
  t.equal(statSync(file).uid, uid);
  t.equal(statSync(file).mode & 0o777, 0o600);
  writeFileSync(file, `ssh-ed25519 AAAA someone@else\n${first}\n`);
  const second = await maker.newSecret();
  t.equal(second.expiresAtMs, 1_700_000_000_000 + 3_600_000);
  t.match(second.text, /^-----BEGIN OPENSSH PRIVATE KEY-----\n/);
  await second.install();
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  t.equal(lines.length, 2);
  t.equal(lines[0], 'ssh-ed25519 AAAA someone@else');
  t.not(lines[1], first, 'the key of before is gone');
  rmSync(ssh, { recursive: true });
  symlinkSync('/proc', ssh);
  await t.rejects(
    (await maker.newSecret()).install(),
    { code: 'ENVIRONMENT', message: /^\/bin\/sh: exit code/ },
    'it writes only what the account may',
  );
});

t.test('a program that fails, hangs or is not there', async (t) => {
  await t.rejects(runProgram({ program: '/bin/sh', args: ['-c', 'echo no such user >&2; exit 3'], input: 'x', timeoutMs: 5000 }), {
    code: 'ENVIRONMENT',
    message: '/bin/sh: exit code 3: no such user',
  });
  await t.rejects(runProgram({ program: '/bin/sleep', args: ['20'], input: '', timeoutMs: 100 }), { message: /ended by SIGTERM/ });
  await t.rejects(runProgram({ program: '/nowhere/chpasswd', input: '', timeoutMs: 100 }), { message: /ENOENT/ });
});

function desk(over: Partial<CredentialMaker> | null, waits: { memory: number } = { memory: 0 }) {
  const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
  const clock = new NodeClock(time);
  const answers: FrameOf<'credential'>[] = [];
  const logs: string[] = [];
  const done: string[] = [];
  const after = (what: string, ms: number): Promise<void> =>
    new Promise((resolve) => clock.setTimeout(() => resolve(void done.push(what)), ms));
  const maker: CredentialMaker | null = over && {
    account: 'ops',
    method: 'password',
    async newSecret() {
      await after('secret', 100);
      return { text: SECRET, expiresAtMs: null, install: () => after('account', 2000) };
    },
    seal: async (secret, to) => {
      const sealed = await sealTo(secret, to);
      await after('encrypt', 300);
      return sealed;
    },
    ...over,
  };
  const began = time.nowMs;
  const made = new CredentialDesk({
    clock,
    vm: VM,
    maker,
    stalls: () => ({ cpu: 7, memory: waits.memory * (time.nowMs - began), io: null }),
    send: (answer) => answers.push(checkFrame(answer) as FrameOf<'credential'>),
    log: createLogger((line) => logs.push(line), clock, 'debug'),
  });
  const ask = async (commandId: string, key: PublicKey, vm: string = VM): Promise<void> => {
    const asked = made.receive({ commandId, vm }, key);
    // Encryption runs outside of simulated time: it is given real time between simulated moments.
    for (let i = 0; i < 40; i++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      await time.runUntil(time.nowMs + 100);
    }
    await asked;
  };
  return { answers, logs, done, ask, made };
}

t.test('the desk: secret, encrypt, account, in this order; progress each second; an end that opens with the key', async (t) => {
  const { answers, logs, done, ask } = desk({}, { memory: 0.5 });
  const { publicKey, privateKey } = keyPair('x25519');
  await ask('one', publicKey);
  t.same(done, ['secret', 'encrypt', 'account']);
  const end = answers.at(-1)!;
  t.ok(answers.slice(0, -1).every(({ state, sealed }) => state === 'working' && sealed === null) && answers.length >= 3);
  t.match(end, {
    state: 'ready',
    account: 'ops',
    method: 'password',
    phases: [{ name: 'secret' }, { name: 'encrypt' }, { name: 'account' }],
  });
  t.equal(await open(end.sealed!, privateKey, 'ECDH-ES'), SECRET);
  t.notOk(JSON.stringify(answers).includes(SECRET) || logs.join().includes(SECRET), 'the plain secret is in no frame and no log');
  const summed = end.phases.reduce((sum, { ms }) => sum + ms, 0);
  t.ok(end.elapsedMs >= summed && summed >= 2400, `${summed} of ${end.elapsedMs} ms`);
  t.equal(end.stalledMs.memory, end.elapsedMs / 2);
  t.equal(end.stalledMs.cpu, 0);
  t.equal(end.stalledMs.io, null, 'what the kernel does not tell is unknown');
  const before = answers.length;
  await ask('one', publicKey);
  t.same(answers.slice(before), [end], 'a command that comes again gets the same end, and no second secret');
});

t.test('the desk refuses: not allowed, another guest, busy; and a failure leaves nothing open', async (t) => {
  const { publicKey } = keyPair('x25519');
  const forbidden = desk(null);
  await forbidden.ask('a', publicKey);
  t.match(forbidden.answers, [{ state: 'refused', reason: /--credential-account NAME/, account: null }]);
  const other = desk({});
  await other.ask('a', publicKey, testVmId(2));
  t.match(other.answers, [{ state: 'refused', reason: /this guest is/ }]);
  const busy = desk({});
  const first = busy.ask('a', publicKey);
  await busy.made.receive({ commandId: 'b', vm: VM }, publicKey);
  await first;
  t.match(
    busy.answers.find(({ commandId }) => commandId === 'b'),
    { state: 'refused', reason: /another login is being made/ },
  );
  const broken = desk({ seal: async () => Promise.reject(new Error('no such curve')) });
  await broken.ask('a', publicKey);
  t.match(broken.answers.at(-1), {
    state: 'failed',
    reason: 'no such curve',
    sealed: null,
    phases: [{ name: 'secret' }, { name: 'encrypt' }],
  });
  t.notOk(broken.done.includes('account'), 'the account was not touched');
});

t.test('frames: keys of other kinds and sizes are refused before anything reads them', async (t) => {
  const frame = (publicKey: unknown) => ({
    ...{ type: 'guest-command', commandId: 'c', vm: VM, pair: { epoch: 1, generation: 1 }, action: { kind: 'credential', publicKey } },
  });
  t.ok(checkFrame(frame(keyPair('rsa').publicKey)));
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
  for (const bad of [
    small,
    { kty: 'EC', crv: 'P-256', x: 'a', y: 'b' },
    { kty: 'OKP', crv: 'Ed25519', x: randomBytes(32).toString('base64url') },
  ])
    t.throws(() => checkFrame(frame(bad)), { code: 'FRAME_INVALID' });
});

t.test('PSI totals in milliseconds; null where the kernel has none', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headroom-psi-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'proc/pressure'), { recursive: true });
  writeFileSync(join(root, 'proc/pressure/memory'), 'some avg10=1.00 avg60=0.00 avg300=0.00 total=2500\nfull avg10=0.00 total=100\n');
  t.same(stalls(openKernelFiles(root)), { cpu: null, memory: 2.5, io: null });
});
