/**
 * `npm run soak -- host`: the packages on a whole Debian host, an emulated PC with systemd, control groups of version 2, swap and a
 * kernel that kills for want of memory, whose libvirt runs a small guest: installed and only watching, allowed to act, short of
 * memory, rebooted, its power cut, removed. Input: Debian's packages only; output: seconds and values. Rejects with what did not hold.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildPackages } from '../../scripts/packaging/packages.ts';
import { ensurePackages, HYPERVISOR_PACKAGES, MACHINE_PACKAGES } from '../../scripts/system-packages.ts';
import { freePort } from '../support/free-port.ts';
import { eventually, Stack } from '../support/stack.ts';
import { bringGuest, GUEST, GUEST_MIB, NestedGuest, type Truth } from './host/nested-guest.ts';
import { debianRoot } from './machines/debian-root.ts';
import { EmulatedMachine, MACHINE_FINISH } from './machines/emulated-machine.ts';
import type { Soak, SoakAsked } from './soak.ts';

const MEMORY_MIB = 2560;
const SWAP_MIB = 256;
const RESERVE_MIB = 256;
/** An emulated guest in an emulated host. */
const PATIENCE_MS = 600_000;
const STEP_MS = 5000;
const OBSERVED_PLANS = 6;
/** Cores per vCPU: a guest that does nothing is capped well below what it could use. */
const IDLE_CAP_MAX = 0.7;

export const HOST_ROOT = {
  packages: ['linux-image-cloud-amd64', 'qemu-system-x86', 'libvirt-clients', 'systemd-container', 'init-system-helpers'],
  finish: MACHINE_FINISH,
};

const QUICK = {
  ...{ mode: 'auto', forecaster: 'last-value', marginFraction: 0.3, lead: '10s', shrinkHorizon: '10s' },
  ...{ cooldownGrow: '0s', cooldownShrink: '5s', deadBandFraction: 0.05, stepLimitGrowFraction: 100, violationBudget: 0.05 },
};
const POLICY = JSON.stringify({
  version: 1,
  fleet: { lease: '30s', staleAfter: '60s', rebootTogether: 1, reserve: { memoryMiB: RESERVE_MIB } },
  defaults: {
    cpu: { ...QUICK, stepLimitShrinkFraction: 1, enforcement: 'cap-always' },
    memory: { ...QUICK, stepLimitShrinkFraction: 0.15, floor: 96, workingSetWindow: '10s' },
  },
});
/** Guests are emulated on an emulated host: what takes a second elsewhere takes a minute here. */
const AGENT = `aggregator: ws://127.0.0.1:7400/v1/agents
statsSeconds: 5
balloonStatsSeconds: 2
settingsSeconds: 5
bootDeadlineSeconds: 5
`;
const SLOW_UNIT = '[Service]\\nTimeoutStartSec=900\\nWatchdogSec=600\\n';
/** Takes memory until the kernel ends it; the pages are written, so that they are had. */
const HOG = 'python3 -c \'held = []\nwhile True: held.append(b"x" * (4 << 20))\'';

interface Scene {
  machine: EmulatedMachine;
  guest: NestedGuest;
  /** The aggregator, which is elsewhere. */
  stack: Stack;
  tell: (progress: string) => void;
}

const secondsSince = (startedMs: number): number => Math.round((Date.now() - startedMs) / 1000);

interface Unit {
  active: boolean;
  restarts: number;
  processId: number;
}

/** The agent's. */
function unit({ machine }: Scene): Unit {
  const text = machine.ok('systemctl show -p ActiveState -p NRestarts -p MainPID headroom-agent');
  const of = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  return { active: of('ActiveState') === 'active', restarts: Number(of('NRestarts')), processId: Number(of('MainPID')) };
}

const listed = async ({ stack }: Scene): Promise<boolean> =>
  (await stack.get<{ items: { name: string; state: string }[] }>('/v1/vms')).items.some(
    ({ name, state }) => name === GUEST && state === 'ready',
  );

/** Installed, it tells and writes nothing, whatever an aggregator's policy asks for. */
async function observed(scene: Scene, original: Truth): Promise<void> {
  const { machine, guest, stack, tell } = scene;
  machine.ok(
    `mkdir -p /etc/systemd/system/headroom-agent.service.d && printf '${SLOW_UNIT}' > /etc/systemd/system/headroom-agent.service.d/slow.conf`,
  );
  machine.ok('DEBIAN_FRONTEND=noninteractive apt-get install -y -q /srv/brought/packages/headroom-host-agent_*.deb');
  const look = machine.ok('headroom look --sample-seconds 5');
  assert.match(look, new RegExp(`\\b${GUEST}\\b`), `the first look tells of the guest:\n${look}`);
  tell('installed; a first look tells of the guest');
  machine.ok(`printf '%s' '${AGENT}' > /etc/headroom/agent.yaml && systemctl restart headroom-agent`);
  await eventually('the aggregator to hear of the guest', () => listed(scene), PATIENCE_MS);
  const newest = async (): Promise<number> => (await stack.get<{ items: { nowMs: number }[] }>('/v1/plans?limit=1')).items[0]?.nowMs ?? 0;
  const fromMs = Date.now();
  await eventually('some plans', async () => (await newest()) > fromMs + OBSERVED_PLANS * STEP_MS, PATIENCE_MS);
  assert.deepEqual(guest.truth(), original, 'a policy in auto changed something on a host that is only observed');
  assert.doesNotMatch(machine.ok(`virsh dumpxml ${GUEST}`), /headroom\.dev\/xmlns\/state/, 'something was journalled');
}

/** Something of ours is in force: less memory, and a cap that the kernel's own file shows. */
async function acted({ guest }: Scene, original: Truth): Promise<Truth> {
  const changed = (): Truth => {
    const now = guest.truth();
    const less = now.capFraction !== null && now.capFraction <= IDLE_CAP_MAX && now.balloonMiB < original.balloonMiB - 16;
    // Told when patience ends.
    assert.ok(less, `it has ${JSON.stringify(now)} of ${JSON.stringify(original)}`);
    return now;
  };
  const truth = await eventually('CPU and memory to be changed', changed, PATIENCE_MS);
  const agree = (): boolean => {
    const [told, inForce] = [guest.truth().capFraction, guest.capInForce()];
    return told !== null && inForce !== null && Math.abs(told - inForce) < 0.01;
  };
  await eventually('libvirt and the control group to agree on the cap', agree, PATIENCE_MS);
  return truth;
}

/** Work comes: the host sees it throttled in its control group, and the cap gives way. */
async function burst({ guest }: Scene, before: Truth): Promise<number> {
  guest.order('busy 2');
  const startedMs = Date.now();
  const gaveWay = (): boolean => {
    const { capFraction } = guest.truth();
    return capFraction === null || capFraction > (before.capFraction ?? 0) * 1.25;
  };
  await eventually('the cap to give way to work', gaveWay, PATIENCE_MS);
  guest.order('idle');
  return secondsSince(startedMs);
}

/** Somebody else's program takes all memory and swap: the kernel ends it; of ours and of the guest nothing dies, and nothing shrinks. */
async function outOfMemory(scene: Scene): Promise<{ hogSeconds: number; balloonMiB: [number, number] }> {
  const { machine, guest } = scene;
  const [agent, process] = [unit(scene), guest.processId()];
  const startedMs = Date.now();
  machine.ok(`cat > /run/hog.sh <<'HOG'\n${HOG}\nHOG\nsystemd-run --unit=hog sh /run/hog.sh`);
  let [leastMiB, underPressureMiB] = [Number.POSITIVE_INFINITY, Number.NaN];
  const killed = (): boolean => {
    const free = Number(/MemAvailable:\s+(\d+)/.exec(machine.ok('cat /proc/meminfo'))?.[1]) / 1024;
    const { balloonMiB } = guest.truth();
    // The host is short from its reserve on: from then on nothing may be taken.
    if (free < RESERVE_MIB && Number.isNaN(underPressureMiB)) underPressureMiB = balloonMiB;
    if (!Number.isNaN(underPressureMiB)) leastMiB = Math.min(leastMiB, balloonMiB);
    return /Out of memory: Killed process \d+ \(python3\)/.test(machine.ok('journalctl -k --no-pager'));
  };
  await eventually('the kernel to end what takes all memory', killed, PATIENCE_MS);
  const hogSeconds = secondsSince(startedMs);
  assert.deepEqual(unit(scene), agent, 'the agent went on');
  assert.equal(guest.processId(), process, 'the guest went on');
  if (!Number.isNaN(underPressureMiB))
    assert.ok(leastMiB > underPressureMiB - 8, `the guest shrank from ${underPressureMiB} to ${leastMiB} MiB`);
  return { hogSeconds, balloonMiB: [underPressureMiB, leastMiB] };
}

/** After a boot the guest has what its definition says, then what is decided; the ledger is whole; nobody else is suspected. */
async function wentOn(scene: Scene, original: Truth): Promise<number> {
  const { stack } = scene;
  const startedMs = Date.now();
  await eventually('the agent to be up', () => unit(scene).active, PATIENCE_MS);
  await eventually('the guest to be listed', () => listed(scene), PATIENCE_MS);
  await acted(scene, original);
  const seconds = secondsSince(startedMs);
  const { items } = await stack.get<{ items: { kind: string; message: string }[] }>('/v1/events?format=json&limit=1000');
  assert.deepEqual(
    items.filter(({ kind }) => kind === 'foreign-writer'),
    [],
    'our own values were taken for somebody else’s',
  );
  assert.equal((await stack.get<{ ok: boolean }>('/v1/audit/verify')).ok, true);
  return seconds;
}

/** All that was changed comes back before the package goes; purged, nothing is left. */
async function removed({ machine, guest }: Scene, original: Truth): Promise<void> {
  const process = guest.processId();
  const said = machine.ok('DEBIAN_FRONTEND=noninteractive apt-get remove -y -q headroom-host-agent');
  const { balloonMiB: _arrives, ...wanted } = original;
  const { balloonMiB: _came, ...exact } = guest.truth();
  assert.deepEqual(exact, wanted, `what the removal left:\n${said}`);
  await eventually('the balloon to come back', () => Math.abs(guest.truth().balloonMiB - original.balloonMiB) < 2);
  assert.equal(guest.capInForce(), original.capFraction);
  assert.equal(guest.processId(), process, 'the guest went on');
  machine.ok('DEBIAN_FRONTEND=noninteractive apt-get purge -y -q headroom-host-agent; rm -r /etc/systemd/system/headroom-agent.service.d');
  const left = machine.ok(
    "find /etc /usr /var/lib -xdev -path /var/lib/dpkg -prune -o -name '*headroom*' -print | grep -v deb-systemd-helper || :",
  );
  assert.equal(left, '', 'purged, something is left');
  assert.equal(machine.run('id headroom-agent').status, 1, 'its user is left');
}

async function story(scene: Scene): Promise<Record<string, unknown>> {
  const { machine, guest, tell } = scene;
  assert.equal(machine.ok('stat -fc %T /sys/fs/cgroup'), 'cgroup2fs');
  assert.match(machine.ok('swapon --show --noheadings'), /\/dev\//, 'there is swap');
  const kernel = machine.ok('uname -r');
  guest.define();
  guest.start();
  guest.order('idle');
  const original = guest.truth();
  assert.equal(original.balloonMiB, GUEST_MIB);
  tell(`a host of its own is up (${kernel}), and its guest runs: ${JSON.stringify(original)}`);

  await observed(scene, original);
  tell('observed: nothing was changed');
  const autoMs = Date.now();
  machine.ok('headroom-agent unkill --config /etc/headroom/agent.yaml');
  const truth = await acted(scene, original);
  const actedSeconds = secondsSince(autoMs);
  tell(`allowed to act, after ${actedSeconds} s: ${JSON.stringify(truth)}`);
  const burstSeconds = await burst(scene, truth);
  tell(`a burst was given CPU within ${burstSeconds} s`);
  const short = await outOfMemory(scene);
  tell(`the kernel killed for want of memory: ${JSON.stringify(short)}`);

  const bootBefore = machine.bootId();
  machine.run('systemctl reboot');
  await machine.untilUp(bootBefore);
  const rebootSeconds = await wentOn(scene, original);
  tell(`rebooted; all went on ${rebootSeconds} s after`);
  await machine.cutPower();
  await machine.boot();
  const powerCutSeconds = await wentOn(scene, original);
  tell(`its power was cut; all went on ${powerCutSeconds} s after`);

  const residentMiB = Math.round(Number(machine.ok(`ps -o rss= -p ${unit(scene).processId}`)) / 1024);
  await removed(scene, original);
  tell('removed: its originals came back');
  return { kernel, original, truth, actedSeconds, burstSeconds, ...short, rebootSeconds, powerCutSeconds, residentMiB };
}

export const host: Soak = {
  about: 'the packages on a whole Debian host of its own, with systemd, cgroup v2, swap and a guest: observe, auto, reboot, removal',
  options: {},
  async run({ tell }: SoakAsked) {
    ensurePackages([...HYPERVISOR_PACKAGES, ...MACHINE_PACKAGES], tell);
    const root = debianRoot(tell, HOST_ROOT);
    const folder = mkdtempSync(join(tmpdir(), 'headroom-host-'));
    const brought = join(folder, 'brought');
    mkdirSync(brought);
    tell('building the packages');
    const packages = join(brought, 'packages');
    const built = await buildPackages(packages, '0.9.1', { effort: 'quick', only: ['headroom-host-agent'] });
    tell(`built: ${built.map(({ deb }) => basename(deb)).join(', ')}`);
    bringGuest(brought);
    const stack = new Stack({ folder, port: await freePort(), policy: POLICY, include: '*', stepMs: STEP_MS, inside: [] });
    const machine = new EmulatedMachine({
      ...{ root, folder, brought, sshPort: await freePort(), memoryMiB: MEMORY_MIB, swapMiB: SWAP_MIB, cpus: 2 },
    });
    const interrupted = (): void => void machine.remove().then(() => process.exit(1));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
    try {
      tell('booting');
      stack.startAggregator();
      await machine.boot();
      machine.lend(7400, Number(new URL(stack.url).port));
      return await story({ machine, guest: new NestedGuest(machine), stack, tell });
    } catch (error) {
      tell(machine.run("journalctl --no-pager -n 40 -u 'headroom-*' -o cat").output);
      throw error;
    } finally {
      await stack.stop();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
      if (process.env.KEEP) await machine.cutPower();
      else await machine.remove();
    }
  },
};
