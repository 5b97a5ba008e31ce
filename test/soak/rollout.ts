/**
 * The playbook on real targets: aggregator with InfluxDB, two hosts, one guest, rolled out twice, upgraded with a canary, and a broken
 * version that must go back by itself. Input: nothing but Debian's packages; output: what Ansible counted, what InfluxDB holds, how
 * long it took. Rejects with the first thing that did not hold.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePackages, ROLLOUT_PACKAGES } from '../../scripts/system-packages.ts';
import { debianRoot } from './machines/debian-root.ts';
import { runToEnd } from './machines/run-checked.ts';
import { openPlaybook, type Played } from './rollout/playbook.ts';
import { makeReleases, RELEASES } from './rollout/releases.ts';
import { openTargets, type Targets } from './rollout/targets.ts';
import type { Soak } from './soak.ts';

const GUEST_VM = '6695eb01-f6a4-8304-79aa-97f2502e193f';
const PASSWORD = `a {secret} & 100 % sure, ${process.pid}`;
const NAMES = ['aggregator', 'kvm-1', 'kvm-2', 'guest-1'];
/** libvirt's test driver has one VM; the second host has another. */
const SECOND_HOST = `<node><cpu><mhz>2000</mhz><model>x86_64</model><active>4</active><nodes>1</nodes><sockets>1</sockets><cores>4</cores><threads>1</threads></cpu>
<memory>8388608</memory><domain type='test'><name>other</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e0002</uuid><memory>1048576</memory><currentMemory>1048576</currentMemory>
<vcpu>2</vcpu><os><type>hvm</type></os></domain></node>`;

function demand(holds: boolean, what: string, played?: Played): void {
  if (!holds) throw new Error(`${what}${played === undefined ? '' : `\n${played.output.trim().split('\n').slice(-60).join('\n')}`}`);
}

const versionOf = (targets: Targets, name: string, kind: string): string =>
  targets.run(name, `dpkg-query -f '\${Version}' -W headroom-${kind}`).output.trim();

/** Newest points of each host or VM in InfluxDB, asked on the aggregator's loopback, as an administrator would. */
function points(targets: Targets, query: string, tag: string): Record<string, number> {
  const script = `const answer = await fetch('http://127.0.0.1:8086/query?db=headroom', { method: 'POST', headers: {
    authorization: 'Basic ' + Buffer.from('headroom:' + process.env.PASSWORD).toString('base64'), 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ q: process.env.QUERY }) }); console.log(await answer.text());`;
  const [program = '', ...args] = [...targets.network('aggregator'), process.execPath, '--input-type=module', '-e', script];
  const { output } = runToEnd(program, args, { environment: { PASSWORD, QUERY: query } });
  const [result] = (
    JSON.parse(output) as { results: { error?: string; series?: { tags: Record<string, string>; values: number[][] }[] }[] }
  ).results;
  if (result?.error !== undefined) throw new Error(`InfluxDB: ${query}: ${result.error}`);
  return Object.fromEntries((result?.series ?? []).map(({ tags, values }) => [tags[tag]!, Math.max(...values[0]!.slice(1))]));
}

const hostPoints = (targets: Targets): Record<string, number> =>
  points(targets, 'SELECT count(*) FROM host_cpu WHERE time > now() - 1m GROUP BY host', 'host');
const guestPoints = (targets: Targets): Record<string, number> =>
  points(targets, `SELECT count(*) FROM vm_cpu WHERE time > now() - 1m AND source = 'guest' GROUP BY vm`, 'vm');

async function eventually(what: string, holds: () => boolean, msMax: number): Promise<void> {
  const untilMs = performance.now() + msMax;
  while (!holds()) {
    if (performance.now() > untilMs) throw new Error(`not within ${msMax / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

/** Nothing may have changed, failed or gone away. */
function untouched({ recap, status }: Played): boolean {
  const all = Object.values(recap);
  return (
    status === 0 && all.length === NAMES.length && all.every(({ changed, failed, unreachable }) => changed + failed + unreachable === 0)
  );
}

/** Token and password in what Ansible said, on targets' disks and in their journals: by their beginnings. */
function secretsFound(targets: Targets, said: string): string[] {
  const found = /hre_[0-9a-f]+_/.test(said) || said.includes('a {secret}') ? ["Ansible's output"] : [];
  for (const { name } of targets.all) {
    const search =
      "grep -rlE 'hre_[0-9a-f]+_[A-Za-z0-9_-]{43}' /etc /root /tmp /var/tmp /var/log /run/headroom* /var/lib/headroom-* 2>/dev/null; journalctl | grep -cE 'hre_[0-9a-f]+_[A-Za-z0-9_-]{43}'";
    const lines = targets
      .run(name, search)
      .output.trim()
      .split('\n')
      .filter((line) => line !== '0');
    found.push(...lines.map((line) => `${name}: ${line}`));
  }
  return found;
}

function checkUnits(targets: Targets, tell: (progress: string) => void): void {
  for (const [name, unit, user] of [
    ['aggregator', 'headroom-aggregator', 'headroom-aggregator'],
    ['kvm-1', 'headroom-agent', 'headroom-agent'],
    ['guest-1', 'headroom-guest-agent', 'headroom-guest'],
  ] as const) {
    const { output } = targets.run(
      name,
      `systemctl show -p ActiveState -p SubState -p NRestarts -p Type -p WatchdogTimestamp ${unit}; ps -o user:32=,rss= -p $(systemctl show -p MainPID --value ${unit})`,
    );
    tell(`${unit}: ${output.trim().replaceAll('\n', ' ')}`);
    demand(
      /ActiveState=active/.test(output) && /Type=notify/.test(output) && output.includes(`\n${user} `),
      `${unit} runs as ${user}, and said that it is ready:\n${output}`,
    );
  }
}

/** A hung agent is found by its watchdog (60 s) and started anew. */
async function checkWatchdog(targets: Targets): Promise<number> {
  const startedMs = performance.now();
  targets.run('kvm-2', 'kill -STOP $(systemctl show -p MainPID --value headroom-agent)');
  const restarted = (): boolean =>
    targets.run('kvm-2', 'systemctl show -p NRestarts --value headroom-agent; systemctl is-active headroom-agent').output === '1\nactive\n';
  await eventually('the watchdog starts a stopped agent anew', restarted, 150_000);
  return Math.round((performance.now() - startedMs) / 1000);
}

export const rollout: Soak = {
  about: 'the playbook on four Debian machines in containers: twice, upgraded by canary, a broken version taken back; needs root and ~1 GB',
  options: {},
  async run({ tell }) {
    ensurePackages(ROLLOUT_PACKAGES, tell);
    const folder = mkdtempSync(join(tmpdir(), 'headroom-rollout-'));
    // What roles install: the targets have no way out.
    const root = debianRoot(tell, { offered: ['influxdb'] });
    const targets = await openTargets(root, NAMES, join(folder, 'targets'));
    try {
      tell(`${NAMES.length} targets are up`);
      await makeReleases(join(folder, 'dist'), tell);
      return await story(targets, folder, tell);
    } catch (error) {
      for (const { name } of targets.all)
        tell(`${name}:\n${targets.run(name, "journalctl --no-pager -n 12 -u 'headroom-*' -o cat").output}`);
      throw error;
    } finally {
      targets.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function story(targets: Targets, folder: string, tell: (progress: string) => void): Promise<Record<string, unknown>> {
  const aggregator = targets.all.find(({ name }) => name === 'aggregator')!;
  const groups = {
    aggregators: {
      aggregator: {
        aggregator_store: {
          ...{ kind: 'influxdb', url: 'http://127.0.0.1:8086', database: 'headroom' },
          auth: { scheme: 'basic', username: 'headroom', secretFile: '/etc/headroom/store-password' },
        },
        aggregator_store_password: PASSWORD,
        aggregator_settings: { stepMs: 10_000, planPeriodMs: 5000 },
      },
    },
    influxdbs: { aggregator: { influxdb_admin_password: PASSWORD } },
    kvm_hosts: { 'kvm-1': { host_agent_libvirt: 'test:///default' }, 'kvm-2': { host_agent_libvirt: 'test:///srv/second-host.xml' } },
    guests: { 'guest-1': { guest_agent_vm: GUEST_VM } },
    grafanas: { aggregator: { grafana_influxdb_password: PASSWORD } },
  };
  // A gate that fails is meant to: it need not wait long for that here.
  const shared = {
    host_agent_gate_retries: 8,
    headroom_packages: join(folder, 'dist'),
    headroom_aggregator_name: aggregator.address,
  };
  targets.run('kvm-2', `cat > /srv/second-host.xml <<'END'\n${SECOND_HOST}\nEND`);
  const play = openPlaybook(targets, groups, shared, folder);
  const at = (version: string) => ({ variables: { headroom_version: version } });
  const told: string[] = [];
  const run = (what: string, ...asked: Parameters<typeof play>): Played => {
    const played = play(...asked);
    told.push(played.output);
    if (process.env.HEADROOM_ROLLOUT_LOG) writeFileSync(process.env.HEADROOM_ROLLOUT_LOG, told.join('\n'));
    const counts = Object.entries(played.recap).map(([name, { changed, failed, rescued }]) => `${name} ${changed}/${failed}/${rescued}`);
    tell(`${what}: ${played.seconds} s, changed/failed/rescued: ${counts.join(', ')}`);
    return played;
  };

  const first = run('rolled out', at(RELEASES.first));
  demand(first.status === 0, 'the first roll-out succeeds', first);
  const again = run('once more', at(RELEASES.first));
  demand(untouched(again), 'the second run changes nothing', again);
  await eventually('both hosts in InfluxDB', () => Object.keys(hostPoints(targets)).length === 2, 60_000);
  await eventually('the guest in InfluxDB', () => (guestPoints(targets)[GUEST_VM] ?? 0) > 0, 60_000);
  const seen = { hosts: hostPoints(targets), guests: guestPoints(targets) };
  tell(`points of the last minute: ${JSON.stringify(seen)}`);
  checkUnits(targets, tell);
  demand(targets.run('kvm-1', 'test -e /var/lib/headroom-agent/kill/host').status === 0, 'a host that may not act has its kill switch on');

  const foreseen = run('what an upgrade would change', { ...at(RELEASES.second), arguments: ['--check', '--diff'] });
  demand(foreseen.status === 0 && foreseen.recap['kvm-1']!.changed > 0, 'check mode tells of the upgrade', foreseen);
  demand(versionOf(targets, 'kvm-1', 'host-agent') === RELEASES.first, 'and does not do it');

  const upgraded = run('upgraded', at(RELEASES.second));
  demand(upgraded.status === 0, 'the upgrade succeeds', upgraded);
  const gate = upgraded.output.search(/TASK \[host_agent : What passed its gate is kept\] \*+\n(?:ok|changed): \[kvm-1\]/);
  const second = upgraded.output.search(/TASK \[common : Install it \(Debian\)\] \*+\n(?:ok|changed): \[kvm-2\]/);
  demand(gate > 0 && second > gate, 'the canary has passed its gate before the second host is touched', upgraded);
  for (const name of ['kvm-1', 'kvm-2']) demand(versionOf(targets, name, 'host-agent') === RELEASES.second, `${name} is upgraded`);
  demand(versionOf(targets, 'guest-1', 'guest-agent') === RELEASES.second, 'the guest is upgraded');

  const broken = run('a broken version', { ...at(RELEASES.broken), arguments: ['--limit', 'kvm_hosts'] });
  demand(broken.status !== 0, 'a broken version fails', broken);
  demand(
    broken.recap['kvm-1']!.rescued === 1 && broken.recap['kvm-2'] === undefined,
    'the canary is rescued, the second host not touched',
    broken,
  );
  for (const name of ['kvm-1', 'kvm-2'])
    demand(versionOf(targets, name, 'host-agent') === RELEASES.second, `${name} runs ${RELEASES.second}`);
  await eventually('the canary reports again', () => (hostPoints(targets)['kvm-1'] ?? 0) > 0, 60_000);
  const clean = run('once more', at(RELEASES.second));
  demand(untouched(clean), 'nothing is left of the broken version, and a run after an upgrade changes nothing', clean);

  const secrets = secretsFound(targets, told.join('\n'));
  demand(secrets.length === 0, `no token or password may be found, but is in ${secrets.join(', ')}`);
  const watchdogSeconds = await checkWatchdog(targets);
  tell(`the watchdog started a stopped agent anew after ${watchdogSeconds} s`);
  const removed = targets.run('kvm-2', 'dpkg -P headroom-host-agent && ! id headroom-agent');
  demand(removed.status === 0, `the package goes:\n${removed.output}`);
  return {
    ...{
      targets: NAMES.length,
      firstSeconds: first.seconds,
      secondSeconds: again.seconds,
      upgradeSeconds: upgraded.seconds,
      brokenSeconds: broken.seconds,
    },
    ...{ changedBySecondRun: 0, points: seen, watchdogSeconds, rolledBackTo: RELEASES.second },
  };
}
