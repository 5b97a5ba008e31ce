/**
 * Goal: a real guest whose memory is too small for what it holds swaps to a slice of another host's memory, and loses nothing when the
 * lender is killed, when its wire is cut, nor when the program that borrows is killed and started again; the map says where its
 * bytes lie before and after; a slice in use is not taken back, one that is unused is, and nothing is left of it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
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
import { tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';
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

const lend = (): Slice =>
  slice('b', 'lend', '--size-mib', String(SLICE_MIB), '--listen', `${hosts.address.b}:7410`, '--key', key, '--reserve-mib', '64');
const borrow = (): Slice =>
  slice(
    ...(['a', 'borrow', '--vm', vm, '--connect', uri, '--size-mib', String(SLICE_MIB)] as const),
    ...['--from', `${hosts.address.b}:7410`, '--key', key, '--store', store, '--socket-group', 'kvm'],
  );

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; !(await condition()); waitedMs += 100) {
    if (waitedMs > 60_000) throw new Error(`gave up waiting until ${what}:\n${said.slice(-4000)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** As the host agent's inventory tells it. */
async function map(): Promise<string> {
  const facts = await hypervisor.facts(vm);
  const words = (target: string): string => sliceWords(findSlices(states.a), vm, target, systemClock.bootMs());
  return physicalMap(facts, words).find(({ virtual }) => virtual.startsWith('swap'))?.physical ?? 'no slice';
}
const mapSays = (pattern: RegExp): Promise<void> => until(`the map says ${pattern}`, async () => pattern.test(await map()));
const THERE = /^RAM of \S+ \(10\.99\.0\.2:7410\), fresh: heard within 5 s$/;
const AWAY = /^local copy; lender \S+ \(10\.99\.0\.2:7410\) away since 20/;

t.test('a working set larger than the memory outlives its lender', async (t) => {
  const options = {
    ...{ name: 'swapping', uuid: vm, folder, memoryMiB: MEMORY_MIB },
    devices: Array.from({ length: PORTS }, (_, index) => `<controller type='pci' index='${index + 1}' model='pcie-root-port'/>`).join(''),
  };
  writeFileSync(join(folder, 'swapping.xml'), tinyGuestXml(options));
  virsh(daemon.socket, 'define', join(folder, 'swapping.xml'));
  virsh(daemon.socket, 'start', 'swapping');
  const persistent = virsh(daemon.socket, 'dumpxml', '--inactive', 'swapping');
  const guest = await tinyGuest(options);
  const answers: string[] = [];
  guest.onLine((line) => void answers.push(line));
  const ask = async (line: string): Promise<string> => {
    const before = answers.length;
    guest.send(line);
    await until(`the guest answers "${line}"`, () => answers.length > before);
    return answers.at(-1)!;
  };
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

  /** The sum while it is being made: some of it is read before what happens then, the rest after. */
  const sumAcross = async (what: () => void): Promise<string> => {
    const answer = ask('sum');
    await new Promise((resolve) => setTimeout(resolve, 500));
    what();
    return answer;
  };
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

  const refused = slice('a', 'return', '--vm', vm, '--connect', uri);
  t.not(await refused.ended, 0);
  t.match(refused.log(), /swapoff/, 'in use: refused');
  await guest.order('drop');
  await guest.order('swapoff');
  const returned = slice('a', 'return', '--vm', vm, '--connect', uri, '--unused');
  t.equal(await returned.ended, 0, returned.log());
  t.equal(await borrower.ended, 0, 'the borrowing program ends by itself');
  t.equal(await map(), 'no slice');
  t.same(readdirSync(states.a), [], 'nothing is left');
  t.notOk(existsSync(join(store, `${vm}.slice`)));
  guest.close();
});
