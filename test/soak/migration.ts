/**
 * `npm run soak -- migration`: a managed guest is moved by others between two hosts, each with a libvirt and an agent of its own and one
 * aggregator for both: live (`virsh migrate`), then by way of saved memory (`virsh save` here, `virsh restore` there). It goes on under
 * emulation as it was; its originals, which were changed on the first host, can be restored on whichever host it is; its history and models
 * go on under its UUID; and nobody wrote to it on one host after somebody had on the next. Output: seconds and counts.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VmView } from '../../aggregator/http/service.ts';
import { type AgentProcess, runAgent, startAgent } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { type PrivateLibvirtd, privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { eventually, Stack } from '../support/stack.ts';
import { type TinyGuestOptions, tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';
import type { Soak, SoakAsked } from './soak.ts';

const STEP_MS = 2000;
const MEMORY_MIB = 320;
/** Emulation on a machine with other work. */
const PATIENCE_MS = 180_000;
const QUICK = {
  ...{ mode: 'auto', forecaster: 'last-value', marginFraction: 0.3, lead: '4s', shrinkHorizon: '4s' },
  ...{ cooldownGrow: '0s', cooldownShrink: '2s', deadBandFraction: 0.05, stepLimitGrowFraction: 100, violationBudget: 0.05 },
};
const POLICY = JSON.stringify({
  version: 1,
  fleet: { lease: '10s', staleAfter: '30s', reserve: { memoryMiB: 256 } },
  defaults: {
    cpu: { ...QUICK, stepLimitShrinkFraction: 1, enforcement: 'cap-always' },
    memory: { ...QUICK, stepLimitShrinkFraction: 0.15, floor: 96, workingSetWindow: '5s' },
  },
});

/** What of a live VM Headroom changes, as libvirt tells it. */
interface Truth {
  shares: number;
  /** Null = no cap. */
  capFraction: number | null;
  balloonMiB: number;
}

interface Host {
  name: string;
  libvirtd: PrivateLibvirtd;
  agent: AgentProcess;
  place: string[];
}

/** An act of Headroom on the VM, by the ledger. */
interface Act {
  host: string;
  atMs: number;
}

class Stage {
  readonly guest: TinyGuestOptions;
  readonly hosts: Host[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'headroom-migration-'));
  #stack!: Stack;

  constructor() {
    const name = `hrm${process.pid}`;
    this.guest = { name, uuid: '6f1b0000-0000-4000-8000-0000000002a1', folder: this.#folder, memoryMiB: MEMORY_MIB, vcpus: 2 };
  }

  async open(): Promise<void> {
    const [folder, port] = [this.#folder, await freePort()];
    this.#stack = new Stack({ folder, port, policy: POLICY, include: '*', stepMs: STEP_MS, inside: [] });
    this.#stack.startAggregator();
    await eventually('the aggregator to answer', () => this.#stack.get('/healthz'), PATIENCE_MS);
    for (const [i, name] of ['alpha', 'beta'].entries()) {
      const libvirtd = await privateLibvirtd({ hostUuid: `6f1b0000-0000-4000-8000-00000000b00${i}` });
      const place = ['--connect', `qemu:///system?socket=${libvirtd.socket}`, '--state-dir', join(folder, name)];
      const host: Host = { name, libvirtd, place, agent: undefined as never };
      this.hosts.push(host);
      this.startAgent(host);
    }
  }

  startAgent(host: Host): void {
    host.agent = startAgent(
      [
        ...['host', '--host', host.name, '--aggregator', `ws://127.0.0.1:${new URL(this.#stack.url).port}/v1/agents`, ...host.place],
        ...['--include', this.guest.name, '--balloon-stats-seconds', '1', '--stats-seconds', '2', '--settings-seconds', '1'],
        ...['--boot-deadline-seconds', '5', '--foreign-rest-seconds', '3'],
      ],
      join(this.#folder, `${host.name}.log`),
    );
  }

  on(host: Host, ...args: string[]): string {
    return virsh(host.libvirtd.socket, ...args);
  }

  uriOf(host: Host): string {
    return `qemu+unix:///system?socket=${host.libvirtd.socket}`;
  }

  file(name: string): string {
    return join(this.#folder, name);
  }

  async vm(): Promise<VmView> {
    return this.#stack.get(`/v1/vms/${this.guest.uuid}`);
  }

  truth(host: Host): Truth {
    const text = this.on(host, 'schedinfo', this.guest.name);
    const of = (what: string): number => Number(new RegExp(`^${what}\\s*:\\s*(-?\\d+)`, 'm').exec(text)?.[1]);
    const quota = of('vcpu_quota');
    const balloonMiB = Number(/actual (\d+)/.exec(this.on(host, 'dommemstat', this.guest.name))?.[1]) / 1024;
    return { shares: of('cpu_shares'), capFraction: quota < 0 || quota > 1e12 ? null : quota / of('vcpu_period'), balloonMiB };
  }

  /** Oldest first. */
  async acts(): Promise<Act[]> {
    const path = `/v1/ledger?vm=${this.guest.uuid}&kind=outcome&limit=1000`;
    const { items } = await this.#stack.get<{ items: { timeMs: number; body: { host: string; outcome: string } }[] }>(path);
    return items
      .filter(({ body }) => body.outcome === 'applied')
      .map(({ timeMs, body }) => ({ host: body.host, atMs: timeMs }))
      .reverse();
  }

  async foreignWrites(): Promise<string[]> {
    const { items } = await this.#stack.get<{ items: { kind: string; message: string }[] }>('/v1/events?format=json&limit=1000');
    return items.filter(({ kind }) => kind === 'foreign-writer').map(({ message }) => message);
  }

  usageRows(fromMs: number, toMs: number): Promise<number> {
    return this.#stack
      .get<{ usage: (number | null)[] }>(
        `/v1/vms/${this.guest.uuid}/series?resource=cpu&resolution=raw&fromMs=${fromMs}&toMs=${toMs}&points=5000`,
      )
      .then(({ usage }) => usage.filter((value) => value !== null).length);
  }

  async close(): Promise<void> {
    for (const { agent, libvirtd } of this.hosts) {
      await agent.end('SIGKILL');
      await libvirtd.stop();
    }
    await this.#stack.stop();
    if (process.env.KEEP) console.error(this.#folder);
    else rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Seconds until Headroom acts on the VM on this host, and what was told of it when it was first seen there. */
async function takenOver(stage: Stage, host: Host, sinceMs: number): Promise<{ seenSeconds: number; actedSeconds: number; first: VmView }> {
  const first = await eventually(
    `the VM to be ${host.name}'s`,
    async () => {
      const vm = await stage.vm();
      return vm.host === host.name && vm.state === 'ready' && vm.resources.memory.setting !== null ? vm : null;
    },
    PATIENCE_MS,
  );
  const seenSeconds = (Date.now() - sinceMs) / 1000;
  await eventually(
    `an act on ${host.name}`,
    async () => (await stage.acts()).some((act) => act.host === host.name && act.atMs > sinceMs),
    PATIENCE_MS,
  );
  return { seenSeconds, actedSeconds: (Date.now() - sinceMs) / 1000, first };
}

/** Something of ours is in force there. */
async function changed(stage: Stage, host: Host, original: Truth): Promise<Truth> {
  return eventually(
    `CPU and memory to be changed on ${host.name}`,
    () => {
      const now = stage.truth(host);
      return now.capFraction !== original.capFraction && now.balloonMiB < original.balloonMiB - 16 ? now : null;
    },
    PATIENCE_MS,
  );
}

/** Whatever it is that the VM has on this host, with no agent running its originals come back. */
async function restoredOn(stage: Stage, host: Host, original: Truth): Promise<void> {
  await host.agent.end('SIGKILL');
  const { code, stdout, stderr } = runAgent(['restore', '--all', ...host.place]);
  assert.equal(code, 0, `restore on ${host.name}: ${stdout}${stderr}`);
  await eventually(`the balloon to come back on ${host.name}`, () => Math.abs(stage.truth(host).balloonMiB - original.balloonMiB) < 2);
  const { balloonMiB: _arrives, ...exact } = stage.truth(host);
  const { balloonMiB: _wanted, ...wanted } = original;
  assert.deepEqual(exact, wanted, `what restore left on ${host.name}`);
}

/** What moved it, the seconds that took, and what came of it. */
async function moved(stage: Stage, from: Host, to: Host, original: Truth, move: () => void): Promise<Record<string, number>> {
  await changed(stage, from, original);
  const before = await stage.vm();
  const fromMs = Date.now();
  move();
  const moveSeconds = (Date.now() - fromMs) / 1000;
  const { seenSeconds, actedSeconds, first } = await takenOver(stage, to, fromMs);
  const acts = (await stage.acts()).filter(({ atMs }) => atMs > fromMs - 60_000);
  const firstThere = acts.findIndex(({ host, atMs }) => host === to.name && atMs > fromMs);
  const after = acts.slice(firstThere).filter(({ host }) => host === from.name);
  assert.deepEqual(after, [], `${from.name} wrote after ${to.name} had`);
  assert.deepEqual(await stage.foreignWrites(), [], 'our own values were taken for somebody else’s');
  for (const resource of ['cpu', 'memory'] as const) {
    assert.notEqual(first.resources[resource].forecast, null, `there is no forecast of ${resource} when it is first seen on ${to.name}`);
    assert.deepEqual(first.resources[resource].holds, [], `hands off ${resource}`);
    assert.deepEqual(first.resources[resource].baseline, before.resources[resource].baseline, `baseline of ${resource} on ${to.name}`);
  }
  const rowsBefore = await stage.usageRows(fromMs - 20_000, fromMs);
  const rowsAfter = await stage.usageRows(Date.now() - 10_000, Date.now());
  assert.ok(rowsBefore > 0 && rowsAfter > 0, `${rowsBefore} rows before, ${rowsAfter} after`);
  return { moveSeconds, seenSeconds, actedSeconds, rowsBefore, rowsAfter };
}

export const migration: Soak = {
  about: 'a managed guest migrated live, and by saved memory, between two hosts by others',
  options: {},
  async run({ tell }: SoakAsked) {
    const stage = new Stage();
    try {
      await stage.open();
      const [alpha, beta] = stage.hosts as [Host, Host];
      // Both share this machine's control groups, which libvirt names by number and name: no two may be the same.
      const spare = { ...stage.guest, name: `${stage.guest.name}-spare`, uuid: '6f1b0000-0000-4000-8000-0000000002a2', memoryMiB: 64 };
      for (const options of [spare, stage.guest]) writeFileSync(stage.file(`${options.name}.xml`), tinyGuestXml(options));
      stage.on(beta, 'create', '--paused', stage.file(`${spare.name}.xml`));
      stage.on(beta, 'destroy', spare.name);
      stage.on(alpha, 'define', stage.file(`${stage.guest.name}.xml`));
      stage.on(alpha, 'start', stage.guest.name);
      const original: Truth = { ...stage.truth(alpha), balloonMiB: MEMORY_MIB };
      (await tinyGuest(stage.guest, PATIENCE_MS)).close();
      tell('the guest runs on alpha');

      const { name } = stage.guest;
      const port = await freePort();
      const live = await moved(stage, alpha, beta, original, () => {
        stage.on(
          alpha,
          'migrate',
          '--live',
          '--persistent',
          '--undefinesource',
          '--migrateuri',
          `tcp://127.0.0.1:${port}`,
          name,
          stage.uriOf(beta),
        );
      });
      tell(`migrated live to beta: ${JSON.stringify(live)}`);
      await restoredOn(stage, beta, original);
      tell('its originals came back on beta');

      stage.startAgent(beta);
      const saved = await moved(stage, beta, alpha, original, () => {
        stage.on(beta, 'save', name, stage.file('saved'));
        stage.on(alpha, 'restore', stage.file('saved'));
      });
      tell(`saved on beta, restored on alpha: ${JSON.stringify(saved)}`);
      await restoredOn(stage, alpha, original);
      tell('its originals came back on alpha');
      return { live, saved };
    } finally {
      await stage.close();
    }
  },
};
