/**
 * `npm run check`: types, lint and format, import walls, unused code. Prints one line a check and what failed; exits 1 when
 * any check failed or looked at nothing.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkWalls } from './walls.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

interface CheckResult {
  ok: boolean;
  detail: string;
  output: string;
}

function run(program: string, args: string[]): { status: number; output: string } {
  const done = spawnSync(join(root, 'node_modules/.bin', program), args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  return { status: done.status ?? 1, output: `${done.stdout ?? ''}${done.stderr ?? ''}${done.error ? done.error.message : ''}` };
}

function types(project: string): CheckResult {
  const listed = run('tsc', ['-p', project, '--listFilesOnly']);
  const files = listed.output.split('\n').filter((line) => line.endsWith('.ts') && !line.includes('node_modules')).length;
  const { status, output } = run('tsc', ['-p', project]);
  return { ok: status === 0 && files > 0, detail: `${files} files`, output };
}

function lint(): CheckResult {
  const { status, output } = run('biome', ['check', '--error-on-warnings', '--max-diagnostics=40', '.']);
  const files = Number(/Checked (\d+) files?/.exec(output)?.[1] ?? 0);
  return { ok: status === 0 && files > 0, detail: `${files} files`, output };
}

function walls(): CheckResult {
  const report = checkWalls(root);
  const output = report.violations.map(({ file, line, message }) => `${file}:${line} ${message}`).join('\n');
  const detail = `${report.filesLookedAt} files, ${report.importsLookedAt} imports`;
  return { ok: report.violations.length === 0 && report.importsLookedAt > 0, detail, output };
}

function unused(): CheckResult {
  const { status, output } = run('knip', ['--no-progress', '--no-config-hints']);
  return { ok: status === 0, detail: 'knip', output };
}

/** Files made from a description are what it says: Grafana's dashboards, the API's types. */
function made(script: string): CheckResult {
  const done = spawnSync(process.execPath, [join(root, script), '--check'], { cwd: root, encoding: 'utf8' });
  return { ok: done.status === 0, detail: done.stdout.trim().split('\n').at(-1) ?? '', output: `${done.stdout}${done.stderr}` };
}

const checks: Record<string, () => CheckResult> = {
  types: () => types('.'),
  // Browsers have other types than Node.
  'types of the console': () => types('aggregator/console'),
  lint,
  walls,
  unused,
  dashboards: () => made('scripts/dashboards.ts'),
  'types of the API': () => made('scripts/api-types.ts'),
};
let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  const result = check();
  console.log(`${result.ok ? 'ok  ' : 'FAIL'} ${name} (${result.detail})`);
  if (!result.ok) {
    failed++;
    console.log(result.output.trim() || 'nothing was looked at');
  }
}
process.exitCode = failed === 0 ? 0 : 1;
