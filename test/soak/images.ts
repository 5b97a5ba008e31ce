/**
 * Both images, built by a real builder (buildah) from the packages and run read-only by podman as their own user: probed from outside,
 * their health asked, an agent seen by its aggregator, drained by SIGTERM. The base image is a Debian root of debootstrap's, in the
 * place of the one a registry would give. Output: sizes and times. Rejects with what did not hold.
 */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildPackages } from '../../scripts/packaging/packages.ts';
import { ROOT, sourceVersion } from '../../scripts/packaging/release.ts';
import { ensurePackages, HYPERVISOR_PACKAGES, IMAGE_PACKAGES } from '../../scripts/system-packages.ts';
import { errorText } from '../../shared/errors.ts';
import { freePort } from '../support/free-port.ts';
import { privateLibvirtd } from '../support/libvirtd.ts';
import { debianRoot } from './machines/debian-root.ts';
import { type Done, runChecked, runToEnd } from './machines/run-checked.ts';
import type { Soak } from './soak.ts';

const BASE = 'localhost/headroom-base:debootstrap';
const IMAGES = { aggregator: 'headroom-aggregator', agent: 'headroom-host-agent' } as const;
/** As the Dockerfiles have it. */
const IMAGE_USER = '10001';
const READY_MS_MAX = 60_000;

interface Store {
  buildah(...args: string[]): string;
  podman(...args: string[]): Done;
}

/** A store of its own: nothing of the machine's images is touched. */
function openStore(folder: string): Store {
  const places = ['--root', join(folder, 'store'), '--runroot', join(folder, 'run')];
  const engine = ['--cgroup-manager', 'cgroupfs', '--runtime', 'runc', '--events-backend', 'file'];
  return {
    buildah: (...args) => runChecked('buildah', [...places, ...args]),
    podman: (...args) => runToEnd('podman', [...places, ...engine, ...args]),
  };
}

/** What a build sees: the packages and one script, as the repository's own ignore file has it. */
async function context(folder: string): Promise<string> {
  const path = join(folder, 'context');
  mkdirSync(join(path, 'scripts/packaging'), { recursive: true });
  for (const file of ['Dockerfile.agent', 'Dockerfile.aggregator', '.dockerignore', 'scripts/packaging/image-root.sh'])
    cpSync(join(ROOT, file), join(path, file));
  const packages = await buildPackages(join(path, 'dist'), sourceVersion(), { effort: 'quick', only: Object.values(IMAGES) });
  if (packages.length !== 2) throw new Error(`two packages are needed, there are ${packages.map(({ deb }) => basename(deb)).join(', ')}`);
  return path;
}

async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + READY_MS_MAX;
  while (!(await holds())) {
    if (performance.now() > untilMs) throw new Error(`not within ${READY_MS_MAX / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function imageMiB(store: Store, name: string): number {
  return Math.round(
    Number(store.podman('image', 'inspect', '--format', '{{.Size}}', `localhost/headroom/${name}`).output.trim()) / 1024 / 1024,
  );
}

/** Podman would raise them beyond those of this process, which not every root may. */
function limits(): string[] {
  const [, files = '1024'] = /Max open files\s+\S+\s+(\S+)/.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return [`--ulimit=nofile=${files}:${files}`, '--ulimit=nproc=1024:1024'];
}

/** Containers run with a read-only root, no capability and no new privileges, in the host's network; their health is asked by hand. */
function start(store: Store, name: string, ...args: string[]): void {
  const hardened = ['--read-only', '--cap-drop=all', '--security-opt=no-new-privileges', '--network=host', ...limits()];
  const { status, output } = store.podman('run', '--detach', '--name', name, '--health-interval=disable', ...hardened, ...args);
  if (status !== 0) throw new Error(`podman run ${name}: ${output}`);
}

async function runBoth(store: Store, folder: string): Promise<Record<string, unknown>> {
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const etc = join(folder, 'etc');
  mkdirSync(etc);
  writeFileSync(join(etc, 'aggregator.yaml'), `dataDir: /var/lib/headroom-aggregator\nlisten: { host: 127.0.0.1, port: ${port} }\n`);
  const libvirt = "'test:///default?socket=/run/libvirt/libvirt-sock'";
  writeFileSync(join(etc, 'agent.yaml'), `host: from-an-image\naggregator: ws://127.0.0.1:${port}/v1/agents\nconnect: ${libvirt}\n`);
  const forgetUser = userOnHost();
  const libvirtd = await privateLibvirtd();
  try {
    // By the group of its socket: here the container's own.
    runChecked('chgrp', [IMAGE_USER, libvirtd.socket]);
    chmodSync(libvirtd.socket, 0o770);
    start(
      store,
      'aggregator',
      '-v',
      `${etc}:/etc/headroom:ro`,
      '-e',
      `HEADROOM_HEALTH_URL=${base}/healthz`,
      'localhost/headroom/aggregator',
    );
    await eventually('the aggregator answers', async () => (await fetch(`${base}/healthz`).catch(() => null))?.ok === true);
    start(
      store,
      'agent',
      '--pid=host',
      '-v',
      `${libvirtd.runFolder}:/run/libvirt`,
      '-v',
      `${etc}:/etc/headroom:ro`,
      'localhost/headroom/agent',
    );
    const hosts = async (): Promise<string> => JSON.stringify(await (await fetch(`${base}/v1/hosts`)).json());
    await eventually('the aggregator hears of the agent', async () => (await hosts()).includes('from-an-image'));
    const page = await (await fetch(base)).text();
    if (!page.includes('<title>')) throw new Error('the console is not served');
    // An agent may be heard before it has looked around and is ready.
    for (const name of ['aggregator', 'agent']) await healthy(store, name);
    const users = ['aggregator', 'agent'].map((name) => store.podman('inspect', '--format', '{{.Config.User}}', name).output.trim());
    if (users.some((user) => user !== `${IMAGE_USER}:${IMAGE_USER}`)) throw new Error(`they must not be root: ${users.join(', ')}`);
    const exits = ['agent', 'aggregator'].map((name) => {
      store.podman('stop', '--time', '25', name);
      return Number(store.podman('inspect', '--format', '{{.State.ExitCode}}', name).output.trim());
    });
    if (exits.some((code) => code !== 0)) throw new Error(`SIGTERM must drain both; they ended with ${exits.join(', ')}`);
    return { exits };
  } finally {
    for (const name of ['agent', 'aggregator']) store.podman('rm', '--force', '--time', '0', name);
    await libvirtd.stop();
    forgetUser();
  }
}

/** libvirt wants to know whoever speaks to it by name: a host must have a user and a group of the image's number. */
function userOnHost(): () => void {
  if (runToEnd('getent', ['passwd', IMAGE_USER]).status === 0) return () => undefined;
  const group = ['--gid', IMAGE_USER];
  runChecked('groupadd', ['--system', ...group, 'headroom-image']);
  runChecked('useradd', ['--system', '--uid', IMAGE_USER, ...group, '--no-create-home', '--shell', '/usr/sbin/nologin', 'headroom-image']);
  return () => void runToEnd('userdel', ['headroom-image']);
}

/** Rejects with what the check and the program said last. */
async function healthy(store: Store, name: string): Promise<void> {
  let last: Done = { status: -1, output: 'never asked' };
  const asks = (): boolean => {
    last = store.podman('healthcheck', 'run', name);
    return last.status === 0;
  };
  await eventually(`${name} is healthy`, asks).catch((error: unknown) => {
    const { output } = store.podman('logs', '--tail', '20', name);
    const health = store.podman('inspect', '--format', '{{json .State.Health}}', name).output.trim();
    throw new Error(`${errorText(error)}; its check ended with ${last.status}: ${last.output.trim()} ${health.slice(-1500)}\n${output}`);
  });
}

export const images: Soak = {
  about: 'both images built by buildah and run by podman, read-only and without root; needs root and ~3 GB',
  options: {},
  async run({ tell }) {
    ensurePackages([...IMAGE_PACKAGES, ...HYPERVISOR_PACKAGES], tell);
    const root = debianRoot(tell);
    const folder = mkdtempSync(join(tmpdir(), 'headroom-images-'));
    const store = openStore(folder);
    try {
      const build = await context(folder);
      tell('a base image of the Debian root, in the place of a registry');
      store.buildah('from', '--name', 'base', 'scratch');
      store.buildah('copy', '--quiet', 'base', root, '/');
      store.buildah('commit', '--quiet', 'base', BASE);
      const startedMs = performance.now();
      for (const name of Object.keys(IMAGES)) {
        tell(`building ${name}`);
        const from = ['--build-arg', `BASE=${BASE}`, '--ignorefile', join(build, '.dockerignore'), '-f', join(build, `Dockerfile.${name}`)];
        store.buildah('bud', '--format', 'docker', '--isolation', 'chroot', ...from, '-t', `localhost/headroom/${name}`, build);
      }
      const buildSeconds = Math.round((performance.now() - startedMs) / 1000);
      const sizeMiB = Object.fromEntries(Object.keys(IMAGES).map((name) => [name, imageMiB(store, name)]));
      tell(`sizes in MiB: ${JSON.stringify(sizeMiB)}`);
      return { sizeMiB, buildSeconds, ...(await runBoth(store, folder)) };
    } finally {
      store.podman('rm', '--all', '--force');
      store.podman('umount', '--all');
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
