/**
 * Goal: a login asked for through the API of a running aggregator, made by the guest agent of a real guest: sealed in the guest
 * to the user's key, a key that SSH's own tools take; a guest that somebody left with hardly any memory is late, and told to be
 * late for that reason; the same guest with all its memory is not. The plain secret is in no log and no entry.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compactDecrypt } from 'jose';
import t from 'tap';
import type { FleetEvent, VmView } from '../../../aggregator/http/service.ts';
import { domainXml } from '../../../demo/guests/domain-xml.ts';
import { cacheDirectory } from '../../../demo/image/cache.ts';
import { demoImage } from '../../../demo/image/demo-image.ts';
import { freePort } from '../../support/free-port.ts';
import { privateLibvirtd, virsh } from '../../support/libvirtd.ts';
import { eventually, Stack } from '../../support/stack.ts';

// A guest with Node in it boots under emulation, and then works with next to no memory.
t.setTimeout(600_000);

const folder = mkdtempSync(join(tmpdir(), 'headroom-credentials-'));
const libvirtd = await privateLibvirtd();
const GUEST = { name: `hrc${process.pid}-login`, uuid: '6f1b0000-0000-4000-8000-0000000005f0' };
const MEMORY_MIB = 384;
/** Taken from the guest step by step until its kernel has to drop its programs' pages again and again, never to where it kills. */
const SQUEEZE_STEP_MIB = 8;
const DISK_IOPS = 80;
/** A guest that only idles and still reads so many pages a second back from its disk is starved. */
const STARVED_REFAULTS = 30;

const observe = { mode: 'observe' };
const stack = new Stack({
  folder,
  port: await freePort(),
  policy: JSON.stringify({ version: 1, defaults: { cpu: observe, memory: observe } }),
  include: GUEST.name,
  stepMs: 2000,
  inside: libvirtd.inside,
});
const { publicKey, privateKey } = generateKeyPairSync('x25519');

t.teardown(async () => {
  await stack.stop();
  if (!t.passing()) for (const part of ['aggregator', 'agent'] as const) t.comment(`${part}:\n${stack.log(part).slice(-6000)}`);
  for (const verb of ['destroy', 'undefine']) spawnSync('virsh', ['-c', `qemu+unix:///system?socket=${libvirtd.socket}`, verb, GUEST.name]);
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});

t.before(async () => {
  const image = await demoImage(cacheDirectory(), () => undefined, ['--credential-account', 'ops']);
  const definition = { ...GUEST, role: 'idle', domainType: 'qemu', memoryMiB: MEMORY_MIB, consoleLog: join(folder, 'console') } as const;
  const xml = domainXml({ ...definition, ...image, firstDayMs: Date.now(), labels: {} }).replace(
    '</devices>',
    '</devices><seclabel type="static" model="dac" relabel="no"><label>+0:+0</label></seclabel>',
  );
  writeFileSync(join(folder, 'guest.xml'), xml);
  virsh(libvirtd.socket, 'create', join(folder, 'guest.xml'));
  stack.startAggregator();
  await eventually('the aggregator to answer', () => stack.get('/healthz'));
  stack.startAgent(['--boot-deadline-seconds', '300']);
  await eventually('the guest agent to be heard', async () => (await vm()).guestAgent, 300_000);
});

interface Login {
  id: string;
  state: string;
  account: string | null;
  sealed: string | null;
  totalMs: number;
  unaccountedMs: number;
  phases: { name: string; ms: number }[];
  delay: { causes: { resource: string; share: number | null; seenBy: string }[]; message: string } | null;
}

const vm = (): Promise<VmView> => stack.get<VmView>(`/v1/vms/${GUEST.uuid}`);

async function asked(): Promise<string> {
  const response = await fetch(`${stack.url}/v1/vms/${GUEST.uuid}/credentials`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ publicKey: publicKey.export({ format: 'jwk' }) }),
  });
  if (response.status !== 202) throw new Error(`asking for a login: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { id: string }).id;
}

const login = (id: string): Promise<Login> => stack.get<Login>(`/v1/vms/${GUEST.uuid}/credentials/${id}`);
const ready = (id: string): Promise<Login> =>
  eventually(
    'the login to be ready',
    async () => {
      const now = await login(id);
      if (now.state === 'failed') throw new Error(JSON.stringify(now));
      return now.state === 'ready' ? now : null;
    },
    240_000,
  );

/** Opens what the guest sealed and has ssh-keygen say what key it is. */
async function opened({ sealed }: Login): Promise<{ secret: string; fingerprint: string }> {
  const secret = new TextDecoder().decode((await compactDecrypt(sealed!, privateKey)).plaintext);
  const file = join(folder, 'key');
  writeFileSync(file, secret, { mode: 0o600 });
  const told = execFileSync('ssh-keygen', ['-y', '-f', file], { encoding: 'utf8' });
  rmSync(file);
  return { secret, fingerprint: told.trim() };
}

/** Pages the guest reads back from its disk, a second: programs' pages its kernel had to drop and needs again. */
async function refaults(overMs: number): Promise<number> {
  const count = (): number => Number(/major_fault (\d+)/.exec(virsh(libvirtd.socket, 'dommemstat', GUEST.name))?.[1]);
  const before = count();
  await new Promise((resolve) => setTimeout(resolve, overMs));
  return (1000 * (count() - before)) / overMs;
}

const secrets: string[] = [];

t.test('with all its memory: ready at once, nothing is called late', async (t) => {
  const made = await ready(await asked());
  const { secret, fingerprint } = await opened(made);
  secrets.push(secret);
  t.match(fingerprint, /^ssh-ed25519 /, 'a key that SSH takes');
  t.equal(made.account, 'ops');
  t.notOk(made.delay?.causes.length, `no resource is blamed: ${made.delay?.message}`);
  t.comment(`${made.totalMs} ms: ${JSON.stringify(made.phases)}, unaccounted ${made.unaccountedMs}`);
});

t.test('nearly without memory: late, and memory is named as the cause', async (t) => {
  // A disk as slow as a busy spinning one: programs' pages that were dropped take their time to come back.
  virsh(libvirtd.socket, 'blkdeviotune', GUEST.name, 'vda', '--read-iops-sec', String(DISK_IOPS), '--live');
  let sizeMiB = MEMORY_MIB - 120;
  const resized = (byMiB: number): void => {
    sizeMiB += byMiB;
    virsh(libvirtd.socket, 'setmem', GUEST.name, `${sizeMiB}M`, '--live');
  };
  await eventually(
    'the guest to read its programs again and again',
    async () => {
      if ((await refaults(4000)) >= STARVED_REFAULTS) return true;
      resized(-SQUEEZE_STEP_MIB);
      return null;
    },
    240_000,
  );
  let id = await asked();
  const late = await eventually(
    'a login to be late for want of memory',
    async () => {
      const now = await login(id);
      if (now.delay?.causes.some(({ resource }) => resource === 'memory')) return now;
      t.comment(`${sizeMiB} MiB: ${now.state} after ${now.totalMs.toFixed(0)} ms ${now.delay?.message ?? ''}`);
      if (now.state !== 'pending' && now.state !== 'delayed') {
        // It still had enough: less, and once more.
        resized(-SQUEEZE_STEP_MIB);
        await refaults(4000);
        id = await asked();
      } else if (now.totalMs > 20_000) {
        // It cannot even answer: a little more.
        resized(SQUEEZE_STEP_MIB / 4);
      }
      await new Promise((resolve) => setTimeout(resolve, 3000));
      return null;
    },
    240_000,
  );
  t.match(late.delay?.message, /short of memory .*mode observe/);
  t.comment(`late at ${sizeMiB} MiB: ${JSON.stringify(late.delay)}`);
  virsh(libvirtd.socket, 'setmem', GUEST.name, `${MEMORY_MIB}M`, '--live');
  const made = await ready(id);
  secrets.push((await opened(made)).secret);
  t.comment(`${made.totalMs} ms: ${JSON.stringify(made.phases)}, unaccounted ${made.unaccountedMs}, ${JSON.stringify(made.delay)}`);
  t.ok(Math.abs(made.phases.reduce((sum, { ms }) => sum + ms, made.unaccountedMs) - made.totalMs) < 1, 'phases and the rest are the whole');
  const told = await stack.get<{ items: { kind: string; message: string }[] }>(`/v1/vms/${GUEST.uuid}/notifications?format=json`);
  const words = told.items.filter(({ kind }) => kind === 'credential').map(({ message }) => message);
  t.ok(
    words.some((message) => /delayed .*memory/.test(message)),
    words.join('\n'),
  );
});

t.test('the plain secret is nowhere but with its user', async (t) => {
  const kept = [
    stack.log('aggregator'),
    stack.log('agent'),
    JSON.stringify(await stack.get('/v1/ledger?limit=1000')),
    JSON.stringify((await stack.get<{ items: FleetEvent[] }>('/v1/events?format=json&limit=1000')).items),
    readFileSync(join(folder, 'console'), 'utf8'),
  ];
  t.equal(secrets.length, 2);
  for (const secret of secrets) {
    const line = secret.split('\n')[2]!;
    t.ok(line.length > 40, 'a line of the key itself');
    for (const text of kept) t.notOk(text.includes(line));
  }
});
