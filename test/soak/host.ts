/**
 * `npm run soak -- host`: the packages on a whole Debian host, an emulated PC with systemd, control groups of version 2, swap and a
 * kernel that kills for want of memory, whose libvirt runs a small guest: installed and only watching, allowed to act, short of
 * memory, rebooted, its power cut, removed. Input: Debian's packages only; output: seconds and values. Rejects with what did not hold.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildPackages } from '../../scripts/packaging/packages.ts';
import { ensurePackages, HYPERVISOR_PACKAGES, MACHINE_PACKAGES } from '../../scripts/system-packages.ts';
import { freePort } from '../support/free-port.ts';
import { bringGuest, GUEST, GUEST_MIB, NestedGuest, type Truth } from './host/nested-guest.ts';
import { debianRoot } from './machines/debian-root.ts';
import { EmulatedMachine, MACHINE_FINISH } from './machines/emulated-machine.ts';
import type { Soak, SoakAsked } from './soak.ts';

const MEMORY_MIB = 2560;
const SWAP_MIB = 256;
/** An emulated guest in an emulated host. */
const PATIENCE_MS = 600_000;
const PLAN_PERIOD_MS = 5000;
const OBSERVED_PLANS = 6;

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
  fleet: { lease: '30s', staleAfter: '60s', rebootTogether: 1, reserve: { memoryMiB: 256 } },
  defaults: {
    cpu: { ...QUICK, stepLimitShrinkFraction: 1, enforcement: 'cap-always' },
    memory: { ...QUICK, stepLimitShrinkFraction: 0.15, floor: 96, workingSetWindow: '10s' },
  },
});
const AGGREGATOR = JSON.stringify({
  dataDir: '/var/lib/headroom-aggregator',
  listen: { host: '127.0.0.1', port: 7400 },
  stepMs: PLAN_PERIOD_MS,
  planPeriodMs: PLAN_PERIOD_MS,
});
/** Paces of a busy hour, so that the run ends the same evening. */
const AGENT = `aggregator: ws://127.0.0.1:7400/v1/agents
statsSeconds: 5
balloonStatsSeconds: 2
settingsSeconds: 5
bootDeadlineSeconds: 5
`;
/** Takes memory until the kernel ends it; the pages are written, so that they are had. */
const HOG = 'python3 -c \'held = []\nwhile True: held.append(b"x" * (4 << 20))\'';

interface Scene {
  machine: EmulatedMachine;
  guest: NestedGuest;
  tell: (progress: string) => void;
}

async function eventually<T>(what: string, look: () => T | null | false): Promise<T> {
  const untilMs = Date.now() + PATIENCE_MS;
  for (;;) {
    const seen = look();
    if (seen !== null && seen !== false) return seen;
    if (Date.now() > untilMs) throw new Error(`not within ${PATIENCE_MS / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

const secondsSince = (startedMs: number): number => Math.round((Date.now() - startedMs) / 1000);

function install({ machine }: Scene, name: string): void {
  machine.ok(`DEBIAN_FRONTEND=noninteractive apt-get install -y -q /srv/brought/packages/${name}_*.deb`);
}

interface Unit {
  active: boolean;
  restarts: number;
  processId: number;
}

function unit({ machine }: Scene, name: string): Unit {
  const text = machine.ok(`systemctl show -p ActiveState -p NRestarts -p MainPID ${name}`);
  const of = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  return { active: of('ActiveState') === 'active', restarts: Number(of('NRestarts')), processId: Number(of('MainPID')) };
}

/** Installed, it tells and writes nothing: neither alone, nor with an aggregator that plans. */
async function observed(scene: Scene, original: Truth): Promise<void> {
  const { machine, guest, tell } = scene;
  install(scene, 'headroom-host-agent');
  const look = machine.ok('headroom look --sample-seconds 5');
  assert.match(look, new RegExp(`\\b${GUEST}\\b`), `the first look tells of the guest:\n${look}`);
  tell('installed; a first look tells of the guest');
  install(scene, 'headroom-aggregator');
  machine.ok(`printf '%s' '${AGGREGATOR}' > /etc/headroom/aggregator.yaml; printf '%s' '${AGENT}' > /etc/headroom/agent.yaml`);
  machine.ok('systemctl restart headroom-aggregator headroom-agent');
  await eventually('the aggregator tells of the guest', () => machine.run('headroom vm list').output.includes(GUEST));
  machine.ok(`headroom policy apply /srv/brought/policy.json`);
  const plans = (): number => (JSON.parse(machine.ok('headroom plan list -o json')) as { items: unknown[] }).items.length;
  const before = plans();
  await eventually(`${OBSERVED_PLANS} plans`, () => plans() >= before + OBSERVED_PLANS);
  assert.deepEqual(guest.truth(), original, 'a policy in auto changed something on a host that is only observed');
  assert.doesNotMatch(machine.ok(`virsh dumpxml ${GUEST}`), /headroom:originals/, 'something was journalled');
}

/** Something of ours is in force: less memory, and a cap that the kernel's own file shows. */
async function acted({ guest }: Scene, original: Truth): Promise<Truth> {
  const truth = await eventually('CPU and memory to be changed', () => {
    const now = guest.truth();
    return now.capFraction !== null && now.balloonMiB < original.balloonMiB - 16 ? now : null;
  });
  await eventually('libvirt and the control group to agree on the cap', () => {
    const [told, inForce] = [guest.truth().capFraction, guest.capInForce()];
    return told !== null && inForce !== null && Math.abs(told - inForce) < 0.01;
  });
  return truth;
}

/** Work comes: the host sees it throttled in its control group, and the cap gives way. */
async function burst({ guest }: Scene, before: Truth): Promise<number> {
  guest.order('busy 2');
  const startedMs = Date.now();
  await eventually('the cap to give way to work', () => {
    const { capFraction } = guest.truth();
    return capFraction === null || capFraction > (before.capFraction ?? 0) * 1.5;
  });
  guest.order('idle');
  return secondsSince(startedMs);
}

/** Somebody else's program takes all memory and swap: the kernel ends it; of ours and of the guest nothing dies, and nothing shrinks. */
async function outOfMemory(scene: Scene): Promise<{ hogSeconds: number; balloonMiB: [number, number] }> {
  const { machine, guest } = scene;
  const [agent, aggregator, process] = [unit(scene, 'headroom-agent'), unit(scene, 'headroom-aggregator'), guest.processId()];
  const startedMs = Date.now();
  machine.ok(`cat > /run/hog.sh <<'HOG'\n${HOG}\nHOG\nsystemd-run --unit=hog -p OOMPolicy=continue sh /run/hog.sh`);
  let [leastMiB, underPressureMiB] = [Number.POSITIVE_INFINITY, Number.NaN];
  await eventually('the kernel to end what takes all memory', () => {
    const free = Number(/MemAvailable:\s+(\d+)/.exec(machine.ok('cat /proc/meminfo'))?.[1]) / 1024;
    const { balloonMiB } = guest.truth();
    // The host is short from its reserve on: from then on nothing may be taken.
    if (free < 256 && Number.isNaN(underPressureMiB)) underPressureMiB = balloonMiB;
    if (!Number.isNaN(underPressureMiB)) leastMiB = Math.min(leastMiB, balloonMiB);
    return /Out of memory: Killed process \d+ \(python3\)/.test(machine.ok('journalctl -k --no-pager'));
  });
  const hogSeconds = secondsSince(startedMs);
  for (const [name, before] of [
    ['headroom-agent', agent],
    ['headroom-aggregator', aggregator],
  ] as const)
    assert.deepEqual(unit(scene, name), before, `${name} went on`);
  assert.equal(guest.processId(), process, 'the guest went on');
  if (!Number.isNaN(underPressureMiB))
    assert.ok(leastMiB > underPressureMiB - 8, `the guest shrank from ${underPressureMiB} to ${leastMiB} MiB`);
  return { hogSeconds, balloonMiB: [underPressureMiB, leastMiB] };
}

/** After a boot the guest has what its definition says, then what is decided; the ledger is whole; nobody else is suspected. */
async function wentOn(scene: Scene, original: Truth): Promise<number> {
  const { machine } = scene;
  const startedMs = Date.now();
  await eventually(
    'agent and aggregator to be up',
    () => unit(scene, 'headroom-agent').active && unit(scene, 'headroom-aggregator').active,
  );
  await eventually('the guest to be listed', () => machine.run('headroom vm list').output.includes(GUEST));
  await acted(scene, original);
  const seconds = secondsSince(startedMs);
  assert.doesNotMatch(machine.ok('headroom events'), /foreign/i, 'our own values were taken for somebody else’s');
  machine.ok('headroom audit verify');
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
  machine.ok('DEBIAN_FRONTEND=noninteractive apt-get purge -y -q headroom-host-agent headroom-aggregator');
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

  const residentMiB = Math.round(Number(machine.ok(`ps -o rss= -p ${unit(scene, 'headroom-agent').processId}`)) / 1024);
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
    const built = await buildPackages(packages, '0.9.1', { effort: 'quick', only: ['headroom-host-agent', 'headroom-aggregator'] });
    tell(`built: ${built.map(({ deb }) => basename(deb)).join(', ')}`);
    writeFileSync(join(brought, 'policy.json'), POLICY);
    bringGuest(brought);
    const machine = new EmulatedMachine({
      ...{ root, folder, brought, sshPort: await freePort(), memoryMiB: MEMORY_MIB, swapMiB: SWAP_MIB, cpus: 2 },
    });
    const interrupted = (): void => void machine.remove().then(() => process.exit(1));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
    try {
      tell('booting');
      await machine.boot();
      return await story({ machine, guest: new NestedGuest(machine), tell });
    } catch (error) {
      tell(machine.run("journalctl --no-pager -n 40 -u 'headroom-*' -o cat; headroom events 2>&1 | tail -n 20").output);
      throw error;
    } finally {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
      if (process.env.KEEP) await machine.cutPower();
      else await machine.remove();
    }
  },
};
