/**
 * The four packages: host agent, guest agent, aggregator, lent memory. Input: the sources and the pinned Node; output: a .deb and an archive
 * each. Every package brings its own Node, so that none depends on what a machine has or on another package's version.
 */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addNativePackages, packageAgent, packageSlice } from './agent-bundle.ts';
import { packageAggregator } from './aggregator-bundle.ts';
import { type BuiltPackage, buildDeb, type DebSource, type Effort } from './deb.ts';
import { pinnedNode, ROOT } from './release.ts';

/** What Node is linked with, and what the set-up scripts call. */
const BASE_DEPENDS = ['libc6 (>= 2.28)', 'libstdc++6 (>= 8)', 'passwd', 'init-system-helpers'];

const HOST: DebSource = {
  name: 'headroom-host-agent',
  summary: "Headroom's agent for KVM hosts",
  description: [
    'Tells an aggregator what each VM needs and carries out what it decides, through libvirt. Installed, it only watches:',
    '`headroom look` gives a first look at this host, and nothing is written before `headroom-agent unkill`. Its removal puts',
    'every value back that it ever changed.',
  ],
  depends: BASE_DEPENDS,
  recommends: ['libvirt-daemon-system'],
  home: 'headroom-agent',
  setup: 'agent/packaging/host/setup.sh',
  triggers: ['/usr/sbin/libvirtd', '/usr/sbin/virtqemud'],
  files: {
    '/usr/lib/headroom-agent/headroom-agent': { from: 'agent/packaging/headroom-agent.sh' },
    '/usr/lib/headroom-agent/notify.sh': { from: 'scripts/packaging/notify.sh' },
    '/usr/lib/headroom-agent/headroom': { from: 'agent/packaging/host/headroom.sh' },
    '/usr/lib/systemd/system/headroom-agent.service': { from: 'agent/packaging/host/headroom-agent.service' },
    '/etc/headroom/agent.yaml': { from: 'agent/packaging/host/agent.yaml' },
    '/usr/share/doc/headroom-host-agent/README': { from: 'docs/guide/operations.md' },
  },
  links: { '/usr/sbin/headroom-agent': '../lib/headroom-agent/headroom-agent' },
  executable: ['/usr/lib/headroom-agent/headroom-agent', '/usr/lib/headroom-agent/headroom'],
  conffiles: ['/etc/headroom/agent.yaml'],
};

const GUEST: DebSource = {
  name: 'headroom-guest-agent',
  summary: "Headroom's agent for guests",
  description: [
    'Tells the host what only the guest sees: its run queue, pressure, page faults. It speaks on a virtio-serial channel and',
    'needs no network. Hosts work without it.',
  ],
  depends: BASE_DEPENDS,
  home: 'headroom-guest-agent',
  setup: 'agent/packaging/guest/setup.sh',
  files: {
    '/usr/lib/headroom-guest-agent/headroom-agent': { from: 'agent/packaging/headroom-agent.sh' },
    '/usr/lib/headroom-guest-agent/notify.sh': { from: 'scripts/packaging/notify.sh' },
    '/usr/lib/systemd/system/headroom-guest-agent.service': { from: 'agent/packaging/guest/headroom-guest-agent.service' },
    '/usr/lib/udev/rules.d/60-headroom-guest-agent.rules': { from: 'agent/packaging/guest/60-headroom-guest-agent.rules' },
    '/etc/default/headroom-guest-agent': { from: 'agent/packaging/guest/headroom-guest-agent.default' },
    '/usr/share/doc/headroom-guest-agent/logins.conf': { from: 'agent/packaging/guest/logins.conf' },
    '/usr/share/doc/headroom-guest-agent/README': { from: 'docs/guide/operations.md' },
  },
  links: { '/usr/sbin/headroom-guest-agent': '../lib/headroom-guest-agent/headroom-agent' },
  executable: ['/usr/lib/headroom-guest-agent/headroom-agent'],
  conffiles: ['/etc/default/headroom-guest-agent'],
};

const AGGREGATOR: DebSource = {
  name: 'headroom-aggregator',
  summary: "Headroom's aggregator and command line",
  description: [
    'Takes in what agents report, forecasts demand, plans within policies and sends commands; answers people on a console, an',
    'API and the command `headroom`.',
  ],
  depends: BASE_DEPENDS,
  home: 'headroom-aggregator',
  setup: 'aggregator/packaging/setup.sh',
  files: {
    '/usr/lib/headroom-aggregator/headroom-aggregator': { from: 'aggregator/packaging/headroom-aggregator.sh' },
    '/usr/lib/headroom-aggregator/headroom': { from: 'aggregator/packaging/headroom.sh' },
    '/usr/lib/headroom-aggregator/notify.sh': { from: 'scripts/packaging/notify.sh' },
    '/usr/lib/systemd/system/headroom-aggregator.service': { from: 'aggregator/packaging/headroom-aggregator.service' },
    '/etc/headroom/aggregator.yaml': { from: 'aggregator/packaging/aggregator.yaml' },
    '/usr/share/doc/headroom-aggregator/README': { from: 'docs/guide/operations.md' },
  },
  links: { '/usr/sbin/headroom-aggregator': '../lib/headroom-aggregator/headroom-aggregator' },
  executable: ['/usr/lib/headroom-aggregator/headroom-aggregator', '/usr/lib/headroom-aggregator/headroom'],
  conffiles: ['/etc/headroom/aggregator.yaml'],
};

const SLICE: DebSource = {
  name: 'headroom-slice',
  summary: 'Headroom: memory and disk space of one host for a VM of another',
  description: [
    'Lends memory of this host, or gives a VM of this host memory of another as a disk to swap to, with a local copy that is',
    'always whole; or disk space, for data. Installed, nothing runs: an administrator starts what is to be lent and borrowed. It is not removed while a',
    'VM uses it.',
  ],
  depends: [...BASE_DEPENDS, 'util-linux'],
  home: 'headroom-slice',
  setup: 'agent/packaging/slice/setup.sh',
  triggers: ['/usr/sbin/libvirtd', '/usr/sbin/virtqemud'],
  files: {
    '/usr/lib/headroom-slice/headroom-slice': { from: 'agent/packaging/slice/headroom-slice.sh' },
    '/usr/lib/headroom-slice/notify.sh': { from: 'scripts/packaging/notify.sh' },
    '/usr/lib/systemd/system/headroom-slice-lend.service': { from: 'agent/packaging/slice/headroom-slice-lend.service' },
    '/usr/lib/systemd/system/headroom-slice-borrow@.service': { from: 'agent/packaging/slice/headroom-slice-borrow@.service' },
    '/etc/headroom/slice-lend.yaml': { from: 'agent/packaging/slice/slice-lend.yaml' },
    '/usr/share/doc/headroom-slice/README.md': { from: 'docs/guide/slices.md' },
  },
  links: { '/usr/sbin/headroom-slice': '../lib/headroom-slice/headroom-slice' },
  executable: ['/usr/lib/headroom-slice/headroom-slice'],
  conffiles: ['/etc/headroom/slice-lend.yaml'],
};

const PACKAGES = { [HOST.name]: HOST, [GUEST.name]: GUEST, [AGGREGATOR.name]: AGGREGATOR, [SLICE.name]: SLICE };

/** What each package's program is bundled by. */
const STAGE: Readonly<Record<string, (directory: string, version: string) => Promise<unknown>>> = {
  [HOST.name]: packageAgent,
  [GUEST.name]: packageAgent,
  [AGGREGATOR.name]: packageAggregator,
  [SLICE.name]: packageSlice,
};

export interface BuildChoice {
  effort?: Effort;
  /** Names of packages; absent: all of them. */
  only?: readonly string[];
}

/** Builds packages of one version into `output`. */
export async function buildPackages(output: string, version: string, choice: BuildChoice = {}): Promise<BuiltPackage[]> {
  const { effort = 'release', only = Object.keys(PACKAGES) } = choice;
  const { architecture, path: node } = pinnedNode();
  const work = mkdtempSync(join(tmpdir(), 'headroom-packages-'));
  try {
    for (const name of only) {
      const staged = join(work, name);
      await STAGE[name]!(staged, version);
      if (name === HOST.name) addNativePackages(staged);
      copyFileSync(node, join(staged, 'node'));
    }
    return only.map((name) => buildDeb(PACKAGES[name]!, join(work, name), { version, architecture, output, effort }));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The agent's file with its launcher and units, for those who install by other means. */
export async function layOutAgent(output: string): Promise<Awaited<ReturnType<typeof packageAgent>>> {
  mkdirSync(output, { recursive: true });
  const built = await packageAgent(output);
  addNativePackages(output);
  const from = join(ROOT, 'agent/packaging');
  cpSync(join(from, 'headroom-agent.sh'), join(output, 'headroom-agent'));
  cpSync(join(ROOT, 'scripts/packaging/notify.sh'), join(output, 'notify.sh'));
  cpSync(join(from, 'host/headroom-agent.service'), join(output, 'headroom-agent.service'));
  cpSync(join(from, 'guest/headroom-guest-agent.service'), join(output, 'headroom-guest-agent.service'));
  return built;
}
