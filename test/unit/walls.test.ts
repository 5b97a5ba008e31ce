/** Goal: the wall check is green on this tree, red when a wall is broken, and does not pass for having looked at nothing. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { checkWalls } from '../../scripts/walls.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

function tree(files: Record<string, string>): string {
  const dir = mkdtempSync(join(tmpdir(), 'headroom-walls-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

t.test('this repository keeps its walls', (t) => {
  const report = checkWalls(root);
  t.ok(report.filesLookedAt > 20 && report.importsLookedAt > 20, 'it looked at the tree');
  t.same(report.violations, []);
  t.end();
});

const BROKEN: [string, Record<string, string>, RegExp][] = [
  ['core imports a store', { 'aggregator/core/a.ts': "import { S } from '../store/sqlite/x.ts';\n" }, /built in composition roots|pure/],
  ['core imports node:fs', { 'aggregator/core/a.ts': "import { readFileSync } from 'node:fs';\n" }, /pure/],
  ['core reads the clock', { 'aggregator/core/a.ts': 'export const now = () => Date.now();\n' }, /no clock/],
  ['agent imports aggregator', { 'agent/loops/a.ts': "import type { A } from '../../aggregator/x.ts';\n" }, /agent knows neither/],
  ['aggregator imports agent', { 'aggregator/loops/a.ts': "import { A } from '../../agent/x.ts';\n" }, /aggregator knows neither/],
  ['a loop imports libvirt', { 'agent/loops/a.ts': "import { A } from '../hypervisor/libvirt/adapter.ts';\n" }, /knows libvirt/],
  ['lint imports the planner', { 'aggregator/core/lint/a.ts': "import { p } from '../plan/planner.ts';\n" }, /other code/],
  ['lint imports a type and more', { 'aggregator/core/lint/a.ts': "import { type Loan, lent } from '../plan/loan.ts';\n" }, /other code/],
  ['core imports connections', { 'agent/core/a.ts': "import { p } from '../../shared/net/codec.ts';\n" }, /not connections/],
  ['shared imports a room', { 'shared/a.ts': "export { p } from '../agent/x.ts';\n" }, /knows no room/],
  ['a dynamic import', { 'agent/loops/a.ts': "const m = await import('../../aggregator/x.ts');\n" }, /agent knows neither/],
  ['the main job uses a simulated part', { 'agent/loops/a.ts': "import { S } from '../hypervisor/simulated.ts';\n" }, /never stands in/],
];

for (const [name, files, message] of BROKEN) {
  t.test(`red: ${name}`, (t) => {
    const report = checkWalls(tree(files));
    t.equal(report.violations.length, 1);
    t.match(report.violations[0]?.message, message);
    t.end();
  });
}

t.test('types are words: the lint may know what a loan is', (t) => {
  t.same(checkWalls(tree({ 'aggregator/core/lint/a.ts': "import type { Loan } from '../plan/loan.ts';\n" })).violations, []);
  t.end();
});

t.test('an empty tree counts nothing', (t) => {
  t.same(checkWalls(tree({})), { filesLookedAt: 0, importsLookedAt: 0, violations: [] });
  t.end();
});
