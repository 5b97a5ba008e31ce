/**
 * Writes Grafana's dashboards from their descriptions. Input: ansible/roles/grafana/dashboards; output: the JSON files that
 * are provisioned, beside it. Run it after a change there: a stale file fails `npm run check`.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dashboardFiles } from '../ansible/roles/grafana/dashboards/all-dashboards.ts';

const directory = join(dirname(fileURLToPath(import.meta.url)), '../ansible/roles/grafana/files/dashboards');
const files = dashboardFiles();
const present = readdirSync(directory).filter((name) => name.endsWith('.json'));

if (process.argv.includes('--check')) {
  const stale = [...files].filter(([name, text]) => !present.includes(name) || readFileSync(join(directory, name), 'utf8') !== text);
  const left = present.filter((name) => !files.has(name));
  for (const name of [...stale.map(([name]) => name), ...left])
    console.log(`${name} is stale: run sh scripts/run.sh scripts/dashboards.ts`);
  console.log(`${files.size} dashboards`);
  process.exitCode = stale.length + left.length === 0 && files.size > 0 ? 0 : 1;
} else {
  mkdirSync(directory, { recursive: true });
  for (const name of present) rmSync(join(directory, name));
  for (const [name, text] of files) writeFileSync(join(directory, name), text);
}
