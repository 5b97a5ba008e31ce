/** Which version of a Debian package is installed here, as benchmarks tell it of their peers. Input: its name; output: empty when it is not. */
import { spawnSync } from 'node:child_process';

/** dpkg-query's own placeholder. */
const FORMAT = ['$', '{Version}'].join('');

export const packageVersion = (name: string): string =>
  spawnSync('dpkg-query', ['-W', '--showformat', FORMAT, name], { encoding: 'utf8' }).stdout ?? '';
