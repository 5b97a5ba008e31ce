/**
 * `npm test [-- FILE ...]`: runs the tests with tap and closes with `N passed, N failed`, counted in test files. Prepares
 * what tap needs once (`tap build`), and installs the Debian packages whose real programs the tests drive. Files run two at a
 * time; those with real guests, whose emulation takes all there is, run one at a time.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorText } from '../shared/errors.ts';
import {
  BROWSER_PACKAGES,
  BUILD_PACKAGES,
  CLUSTER_PACKAGES,
  ensurePackages,
  HYPERVISOR_PACKAGES,
  PACKAGING_PACKAGES,
  STORE_PACKAGES,
} from './system-packages.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const tap = join(root, 'node_modules/.bin/tap');
/** A file that takes longer hangs: the slowest take a minute and a half, those that boot several guests under emulation some minutes. */
const TIMEOUT_SECONDS = { together: 300, alone: 900 } as const;

function prepare(): void {
  if (existsSync(join(root, '.tap/plugins'))) return;
  const built = spawnSync(tap, ['build'], { cwd: root, encoding: 'utf8' });
  if (built.status !== 0) {
    console.error(`tap build failed:\n${built.stdout}${built.stderr}`);
    process.exit(1);
  }
}

/** Runs the files and answers how many passed and failed. */
async function runFiles(files: string[], jobs: number, timeoutSeconds: number): Promise<{ passed: number; failed: number }> {
  const args = [
    'run',
    '--reporter=tap',
    '--disable-coverage',
    '--allow-incomplete-coverage',
    `--jobs=${jobs}`,
    `--timeout=${timeoutSeconds}`,
    ...files,
  ];
  const child = spawn(tap, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  let passed = 0;
  let failed = 0;
  let pending = '';
  let explaining = false;
  const counted = (line: string): void => {
    const ofFile = /^(not )?ok \d+ - .*\.test\.ts/.exec(line);
    if (ofFile) ofFile[1] ? failed++ : passed++;
    // What failed is told whole: its diagnosis ends with a line of three dots.
    if (/^\s*(not )?ok /.test(line)) explaining = /^\s*not ok /.test(line);
    if (ofFile || explaining) console.log(line);
    if (/^\s*\.\.\.$/.test(line)) explaining = false;
  };
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk: string) => {
    const lines = (pending + chunk).split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) counted(line);
  });
  const status = await new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? 1)));
  if (status !== 0 && failed === 0) failed = 1;
  return { passed, failed };
}

const wanted = process.argv.slice(2);
const files = wanted.length > 0 ? wanted : globSync('test/**/*.test.ts', { cwd: root }).sort();
if (files.length === 0) {
  console.error('no test file was found');
  process.exit(1);
}
const alone = files.filter((file) => /(^|\/)test\/guests\/|contract\/.*libvirt/.test(file));
const onPrograms = files.filter((file) => /(^|\/)test\/(integration|e2e)\//.test(file));
const onServers = files.filter((file) => /series-store-(influxdb|victoria)|store-influxdb|grafana/.test(file));
const onEtcd = files.filter((file) => /etcd|several-aggregators/.test(file));
const together = files.filter((file) => !alone.includes(file));
prepare();
const packages = [
  ...(alone.length > 0 ? [...HYPERVISOR_PACKAGES, ...BUILD_PACKAGES, ...PACKAGING_PACKAGES] : []),
  ...(onPrograms.length > 0 ? [...HYPERVISOR_PACKAGES, ...BROWSER_PACKAGES, ...PACKAGING_PACKAGES] : []),
  ...(onServers.length > 0 ? STORE_PACKAGES : []),
  ...(onEtcd.length > 0 ? CLUSTER_PACKAGES : []),
];
try {
  ensurePackages(packages, console.log);
} catch (error) {
  // Not fatal here: a test that misses its real part fails and says so.
  console.error(errorText(error));
}
const totals = { passed: 0, failed: 0 };
for (const [group, jobs, timeoutSeconds] of [
  [together, 2, TIMEOUT_SECONDS.together],
  [alone, 1, TIMEOUT_SECONDS.alone],
] as const) {
  if (group.length === 0) continue;
  const { passed, failed } = await runFiles(group, jobs, timeoutSeconds);
  totals.passed += passed;
  totals.failed += failed;
}
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed === 0 && totals.passed > 0 ? 0 : 1;
