/**
 * Goal: a real guest whose memory is too small for what it holds swaps to a slice of another host's memory, and loses nothing when the
 * lender is killed, when its wire is cut, nor when the program that borrows is killed and started again; the map says where its
 * bytes lie before and after; a slice in use is not taken back, one that is unused is, and nothing is left of it. Disk space of that
 * host keeps what the guest writes through the same, and is not mistaken for an empty disk in its place.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { physicalMap } from '../../agent/core/physical-map.ts';
import { lentMiB, sliceWords } from '../../agent/core/slice-state.ts';
import { createLibvirtHypervisor } from '../../agent/hypervisor/libvirt/adapter.ts';
import { findSlices } from '../../agent/slice/state-files.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { type TinyGuest, tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';
import { twoHosts } from '../support/two-hosts.ts';

t.setTimeout(240_000);

const MEMORY_MIB = 96;
const SLICE_MIB = 96;
/** Files of 4 MiB: with the kernel's own, well beyond the guest's memory. */
const PARTS = 18;
/** Its own devices take some; one is left to plug into. */
const PORTS = 8;
const NODE = process.execPath;
const PROGRAM = join(import.meta.dirname, '../../agent/slice/main.ts');

const folder = mkdtempSync(join(tmpdir(), 'headroom-slice-'));
const states = { a: join(folder, 'state-a'), b: join(folder, 'state-b') };
const store = join(folder, 'store');
const key = join(folder, 'key');
writeFileSync(key, Buffer.alloc(32, 5).toString('hex'), { mode: 0o600 });
const hosts = await twoHosts();
const daemon = await privateLibvirtd();
const uri = `qemu:///system?socket=${daemon.socket}`;
const vm = vmId('6f1b0000-0000-4000-8012-000000000001');
const hypervisor = createLibvirtHypervisor({ uri, clock: systemClock, prng: createPrng(1) });
const children = new Set<ChildProcess>();
/** What all of them said, for who must find out why something did not come to be. */
let said = '';

t.teardown(async () => {
  for (const child of children) child.kill('SIGKILL');
  await hypervisor.close();
  spawnSync('virsh', ['-q', '-c', `qemu+unix:///system?socket=${daemon.socket}`, 'destroy', 'swapping']);
  await daemon.stop();
  hosts.close();
  rmSync(folder, { recursive: true, force: true });
});

const groupId = (name: string): number => Number(spawnSync('getent', ['group', name], { encoding: 'utf8' }).stdout.split(':')[2]);

interface Slice {
  child: ChildProcess;
  log(): string;
  ended: Promise<number | null>;
}

function slice(host: 'a' | 'b', ...args: string[]): Slice {
  const command = [...hosts.inside[host], NODE, PROGRAM, ...args, '--state-dir', states[host]];
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let log = '';
  const keep = (part: Buffer): void => {
    log += part.toString();
    said += part.toString();
  };
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', keep);
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, log: () => log, ended };
}

const lend = (...more: string[]): Slice =>
  slice('b', 'lend', '--size-mib', String(SLICE_MIB), '--listen', `${hosts.address.b}:7410`, '--key', key, '--reserve-mib', '64', ...more);
const borrow = (...more: string[]): Slice =>
  slice(
    ...(['a', 'borrow', '--vm', vm, '--connect', uri, '--size-mib', String(SLICE_MIB)] as const),
    ...['--from', `${hosts.address.b}:7410`, '--key', key, '--store', store, '--socket-group', 'kvm', ...more],
  );
const giveBack = (...more: string[]): Slice => slice('a', 'return', '--vm', vm, '--connect', uri, ...more);

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; !(await condition()); waitedMs += 100) {
    if (waitedMs > 60_000) throw new Error(`gave up waiting until ${what}:\n${said.slice(-4000)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** As the host agent's inventory tells it. */
async function map(word = 'swap'): Promise<string> {
  const facts = await hypervisor.facts(vm);
  const words = (target: string): string => sliceWords(findSlices(states.a), vm, target, systemClock.bootMs());
  return physicalMap(facts, words).find(({ virtual }) => virtual.startsWith(word))?.physical ?? 'no slice';
}
const mapSays = (pattern: RegExp, word = 'swap'): Promise<void> =>
  until(`the map says ${pattern}`, async () => pattern.test(await map(word)));
const THERE = /^RAM of \S+ \(10\.99\.0\.2:7410\), fresh: heard within 5 s$/;
const AWAY = /^local copy; lender \S+ \(10\.99\.0\.2:7410\) away since 20/;

let guest: TinyGuest;
const answers: string[] = [];

async function ask(line: string): Promise<string> {
  const before = answers.length;
  guest.send(line);
  await until(`the guest answers "${line}"`, () => answers.length > before);
  return answers.at(-1)!;
}

/** The answer to something that takes a while, and half a second into it something happens. */
async function askAcross(line: string, what: () => void): Promise<string> {
  const answer = ask(line);
  await new Promise((resolve) => setTimeout(resolve, 500));
  what();
  return answer;
}

t.test('a working set larger than the memory outlives its lender', async (t) => {
  const options = {
    ...{ name: 'swapping', uuid: vm, folder, memoryMiB: MEMORY_MIB },
    devices: Array.from({ length: PORTS }, (_, index) => `<controller type='pci' index='${index + 1}' model='pcie-root-port'/>`).join(''),
  };
  writeFileSync(join(folder, 'swapping.xml'), tinyGuestXml(options));
  virsh(daemon.socket, 'define', join(folder, 'swapping.xml'));
  virsh(daemon.socket, 'start', 'swapping');
  const persistent = virsh(daemon.socket, 'dumpxml', '--inactive', 'swapping');
  guest = await tinyGuest(options);
  guest.onLine((line) => void answers.push(line));
  await hypervisor.connect();

  let lender = lend();
  await until('the lender listens', () => lender.log().includes('lending'));
  t.equal(lentMiB(findSlices(states.b)), SLICE_MIB, 'what is lent is counted');
  let borrower = borrow();
  await until('the VM has its slice', () => borrower.log().includes('the VM has its slice'));
  await mapSays(THERE);
  const served = statSync(join(states.a, `${vm}.sock`));
  t.same({ mode: served.mode & 0o777, group: served.gid }, { mode: 0o660, group: groupId('kvm') }, 'for QEMU, and nobody else');
  t.equal(virsh(daemon.socket, 'dumpxml', '--inactive', 'swapping'), persistent, 'live only');

  await guest.order('swapon');
  t.equal(await ask(`parts 0 ${PARTS}`), `made 0 ${PARTS}`);
  const swappedKib = Number((await ask('swapped')).split(' ')[1]);
  t.ok(swappedKib > 8 * 1024, `${swappedKib} KiB are swapped out`);
  const sum = await ask('sum');
  await mapSays(THERE);

  // Some of it is read before what happens then, the rest after.
  const sumAcross = (what: () => void): Promise<string> => askAcross('sum', what);
  t.equal(await sumAcross(() => void lender.child.kill('SIGKILL')), sum, 'while the lender is killed');
  await mapSays(AWAY);
  t.equal(lentMiB(findSlices(states.b)), 0, 'and its memory is free again');

  lender = lend();
  await mapSays(THERE);
  t.equal(await sumAcross(() => hosts.wire(false)), sum, 'while the wire to another lender is cut, which was given everything anew');
  await mapSays(AWAY);
  hosts.wire(true);
  await mapSays(THERE);

  const killed = await sumAcross(() => {
    borrower.child.kill('SIGKILL');
    void borrower.ended.then(() => {
      borrower = borrow();
    });
  });
  t.equal(killed, sum, 'while the borrowing program is killed and comes again');
  await mapSays(THERE);

  const refused = giveBack();
  t.not(await refused.ended, 0);
  t.match(refused.log(), /swapoff/, 'in use: refused');
  await guest.order('drop');
  await guest.order('swapoff');
  const returned = giveBack('--unused');
  t.equal(await returned.ended, 0, returned.log());
  t.equal(await borrower.ended, 0, 'the borrowing program ends by itself');
  t.equal(await map(), 'no slice');
  t.same(readdirSync(states.a), [], 'nothing is left');
  t.notOk(existsSync(join(store, `${vm}.slice`)));
  lender.child.kill('SIGTERM');
  t.equal(await lender.ended, 0);
});

t.test('disk space of another host keeps what is written to it', async (t) => {
  const PARTS_KEPT = 6;
  const space = join(folder, 'space');
  const THERE = /^disk space of \S+ \(10\.99\.0\.2:7410\), fresh: heard within 5 s$/;
  const AWAY = /^nothing can be read or written; lender /;
  const lendSpace = (): Slice => lend('--storage', space);
  let lender = lendSpace();
  let borrower = borrow('--storage');
  await mapSays(THERE, 'storage');
  t.equal(lentMiB(findSlices(states.b)), 0, 'it is no memory');
  t.notOk(existsSync(join(store, `${vm}.slice`)), 'nothing of it is here');

  t.equal(await ask(`parts 0 ${PARTS_KEPT}`), `made 0 ${PARTS_KEPT}`);
  const sum = (await ask('sum')).replace('sum', 'kept');
  const lenderAgain = (): void => {
    lender.child.kill('SIGKILL');
    void lender.ended.then(() => {
      lender = lendSpace();
    });
  };
  await askAcross('keep', lenderAgain);
  t.equal(await ask(`kept ${PARTS_KEPT}`), sum, 'written while the lender was killed and came again');

  await askAcross('keep', () => {
    hosts.wire(false);
    setTimeout(() => hosts.wire(true), 3000);
  });
  t.equal(await ask(`kept ${PARTS_KEPT}`), sum, 'written while the wire was cut');
  const readAcross = await askAcross(`kept ${PARTS_KEPT}`, () => {
    borrower.child.kill('SIGKILL');
    void borrower.ended.then(() => {
      borrower = borrow('--storage');
    });
  });
  t.equal(readAcross, sum, 'read while the borrowing program was killed and came again');

  lender.child.kill('SIGKILL');
  await lender.ended;
  renameSync(space, `${space}.away`);
  lender = lendSpace();
  await until('the borrower refuses an empty disk', () => /the lender has disk \S+; the VM was given/.test(borrower.log()));
  await mapSays(AWAY, 'storage');
  lender.child.kill('SIGKILL');
  await lender.ended;
  rmSync(space, { recursive: true });
  renameSync(`${space}.away`, space);
  lender = lendSpace();
  await mapSays(THERE, 'storage');
  t.equal(await ask(`kept ${PARTS_KEPT}`), sum, 'its own disk is taken again');

  const refused = giveBack('--storage');
  t.not(await refused.ended, 0);
  t.match(refused.log(), /umount/);
  const returned = giveBack('--storage', '--unused');
  t.equal(await returned.ended, 0, returned.log());
  t.equal(await borrower.ended, 0);
  t.same(readdirSync(states.a), [], 'nothing is left here');
  const kept = readFileSync(join(space, `${vm}.storage`)).subarray(0, PARTS_KEPT * 4 * 1024 * 1024);
  t.equal(`kept ${createHash('md5').update(kept).digest('hex')}`, sum, 'and all of it there');
  guest.close();
});
