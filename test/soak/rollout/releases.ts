/**
 * Releases to roll out: two sound ones, and one whose host agent starts, tells the service manager that it is ready, and never
 * reaches its aggregator: only a gate that looks from outside finds it out. Output: packages in one directory.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { buildPackages } from '../../../scripts/packaging/packages.ts';
import { runChecked } from '../machines/run-checked.ts';

export const RELEASES = { first: '0.9.1', second: '0.9.2', broken: '0.9.3' } as const;

const MUTE = `import { writeSync } from 'node:fs';
if (process.argv[2] === 'host') {
  const fd = Number(process.env.HEADROOM_NOTIFY_FD);
  writeSync(fd, 'READY=1\\n');
  setInterval(() => writeSync(fd, 'WATCHDOG=1\\n'), 5000);
} else {
  await import('./sound.mjs');
}
`;

export async function makeReleases(folder: string, tell: (progress: string) => void): Promise<void> {
  for (const version of [RELEASES.first, RELEASES.second]) {
    tell(`packages of ${version}`);
    await buildPackages(folder, version, { effort: 'quick' });
  }
  tell(`a host agent ${RELEASES.broken} that is broken`);
  const [sound] = await buildPackages(folder, RELEASES.broken, { effort: 'quick', only: ['headroom-host-agent'] });
  const tree = join(folder, 'tree');
  runChecked('dpkg-deb', ['-R', sound!.deb, tree]);
  const home = join(tree, 'usr/lib/headroom-agent');
  renameSync(join(home, 'headroom-agent.mjs'), join(home, 'sound.mjs'));
  writeFileSync(join(home, 'headroom-agent.mjs'), MUTE);
  const sums = join(tree, 'DEBIAN/md5sums');
  writeFileSync(
    sums,
    readFileSync(sums, 'utf8')
      .split('\n')
      .filter((line) => !line.includes('.mjs'))
      .join('\n'),
  );
  runChecked('dpkg-deb', ['--root-owner-group', '-Zzstd', '-z1', '--build', tree, join(folder, basename(sound!.deb))]);
  rmSync(tree, { recursive: true });
}
