/**
 * The walls of the house: which room may import which. Input: a root directory; output: the violations found and how many
 * files were looked at (a check that looked at nothing proves nothing, so callers fail on zero). Imports are read as text:
 * the formatter keeps `from '…'` on one line. Type imports count too, but where a wall lets them through.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export interface WallViolation {
  file: string;
  line: number;
  message: string;
}

export interface WallReport {
  filesLookedAt: number;
  importsLookedAt: number;
  violations: WallViolation[];
}

interface Wall {
  /** Files the wall is about: path prefixes. */
  room: readonly string[];
  except?: readonly string[];
  /** Repository files the room may import: path prefixes. */
  mayImport: readonly string[];
  /** Files it may import types from, and nothing else: types are words. */
  mayImportTypes?: readonly string[];
  /** Packages and node: modules it may import; undefined = any. */
  packages?: readonly string[];
  why: string;
}

/** The only places that build adapters and may look into every room. */
const ROOTS = [
  'agent/main.ts',
  'agent/programs.ts',
  'agent/guest-program.ts',
  'agent/slice/main.ts',
  'aggregator/main.ts',
  'aggregator/open-series-store.ts',
  'aggregator/open-cluster.ts',
  'aggregator/cli/',
  'simulation/',
  'demo/',
  'test/',
  'scripts/',
];
const WORDS = ['shared/'];
const NOT_WORDS = ['shared/net/'];

const WALLS: readonly Wall[] = [
  { room: ['shared/'], mayImport: ['shared/'], why: 'shared/ holds words and wire: it knows no room' },
  {
    room: ['agent/core/'],
    mayImport: ['agent/core/', ...WORDS],
    packages: ['typebox', 'node:crypto', 'node:zlib'],
    why: 'the agent core is pure: only core and shared words',
  },
  {
    room: ['aggregator/core/'],
    mayImport: ['aggregator/core/', ...WORDS],
    packages: ['typebox', 'typebox/compile', 'yaml', 'ml-matrix', 'node:crypto', 'node:zlib'],
    why: 'the decision core is pure: only core and shared words',
  },
  {
    room: ['aggregator/core/lint/'],
    mayImport: [
      'aggregator/core/lint/',
      'aggregator/core/plan/plan.ts',
      'aggregator/core/plan/policy.ts',
      'aggregator/core/plan/anomaly-policy.ts',
      ...WORDS,
    ],
    mayImportTypes: ['aggregator/core/'],
    why: "the lint is other code than the planner's",
  },
  {
    room: ['agent/'],
    except: ['agent/main.ts', 'agent/programs.ts', 'agent/guest-program.ts', 'agent/slice/main.ts', 'agent/hypervisor/libvirt/'],
    mayImport: ['agent/', ...WORDS],
    why: 'the agent knows neither the aggregator nor other rooms',
  },
  {
    room: ['aggregator/'],
    except: ['aggregator/main.ts', 'aggregator/cli/'],
    mayImport: ['aggregator/', ...WORDS],
    why: 'the aggregator knows neither the agent nor other rooms',
  },
];

interface Guarded {
  /** What only some may import: path prefixes. */
  target: readonly string[];
  by: readonly string[];
  why: string;
}

const GUARDED: readonly Guarded[] = [
  {
    target: ['agent/hypervisor/libvirt/'],
    by: ['agent/hypervisor/libvirt/', ...ROOTS],
    why: 'nothing but its adapter and the composition roots knows libvirt',
  },
  {
    target: ['agent/hypervisor/simulated'],
    by: ['agent/hypervisor/simulated', ...ROOTS],
    why: 'a simulated part never stands in for the main job',
  },
  { target: ['shared/net/simulated'], by: ['shared/net/simulated', ...ROOTS], why: 'a simulated part never stands in for the main job' },
  { target: ['aggregator/store/sqlite/'], by: ['aggregator/store/sqlite/', ...ROOTS], why: 'adapters are built in composition roots only' },
  { target: ['aggregator/store/influx/'], by: ['aggregator/store/influx/', ...ROOTS], why: 'adapters are built in composition roots only' },
  {
    target: ['aggregator/store/victoria/'],
    by: ['aggregator/store/victoria/', ...ROOTS],
    why: 'adapters are built in composition roots only',
  },
  { target: ['aggregator/etcd/'], by: ['aggregator/etcd/', ...ROOTS], why: 'adapters are built in composition roots only' },
  {
    target: ['aggregator/http/'],
    by: [
      'aggregator/http/',
      'aggregator/aggregator.ts',
      'aggregator/aggregator-options.ts',
      'aggregator/service/',
      'aggregator/console/',
      ...ROOTS,
    ],
    why: 'the faces read the house, the house does not read its faces',
  },
  {
    target: ['simulation/'],
    by: ['simulation/', 'demo/', 'test/', 'scripts/', 'aggregator/cli/'],
    why: 'simulation is a composition root of its own',
  },
  { target: ['test/'], by: ['test/', 'scripts/bench.ts', 'scripts/soak.ts'], why: 'the product does not import its tests' },
];

/** Effects that pure rooms must not have: clock, randomness and timers come in as arguments. */
const PURE_ROOMS = ['agent/core/', 'aggregator/core/', 'shared/fast-guard.ts'];
const IMPURE =
  /\b(Date\.now|Math\.random|performance\.now|setTimeout|setInterval|setImmediate|process\.(env|argv|exit|hrtime)|new Date\(\)|fetch\()/;
const IMPORT =
  /(?:^|[\s;])(?:import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]|(?:^|[^\w.])import\(\s*['"]([^'"]+)['"]\s*\)|^\s*import\s+['"]([^'"]+)['"]/g;

const TYPES_ONLY = /^[\s;]*import\s+type\s/;

const within = (path: string, prefixes: readonly string[]): boolean => prefixes.some((prefix) => path.startsWith(prefix));

export function checkWalls(root: string): WallReport {
  const files = globSync('{shared,agent,aggregator,simulation,demo,scripts}/**/*.{ts,tsx}', { cwd: root }).map((file) =>
    file.replaceAll('\\', '/'),
  );
  const report: WallReport = { filesLookedAt: 0, importsLookedAt: 0, violations: [] };
  for (const file of files.sort()) {
    report.filesLookedAt++;
    checkFile(file, readFileSync(join(root, file), 'utf8'), report);
  }
  return report;
}

function checkFile(file: string, text: string, report: WallReport): void {
  for (const match of text.matchAll(IMPORT)) {
    report.importsLookedAt++;
    const specifier = match[1] ?? match[2] ?? match[3] ?? '';
    const problem = specifier.startsWith('.')
      ? wallBetween(file, normalize(join(dirname(file), specifier)), TYPES_ONLY.test(match[0]))
      : packageProblem(file, specifier);
    if (problem) report.violations.push({ file, line: lineOf(text, match.index), message: problem });
  }
  if (!within(file, PURE_ROOMS)) return;
  for (const [index, line] of text.split('\n').entries()) {
    if (IMPURE.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line)) {
      report.violations.push({
        file,
        line: index + 1,
        message: `a pure room has no clock, randomness, timers or I/O of its own: ${line.trim()}`,
      });
    }
  }
}

function wallBetween(file: string, target: string, typesOnly: boolean): string | null {
  for (const guard of GUARDED) {
    if (within(target, guard.target) && !within(file, guard.by)) return `imports ${target}: ${guard.why}`;
  }
  for (const wall of WALLS) {
    if (!within(file, wall.room) || within(file, wall.except ?? [])) continue;
    if (!within(target, wall.mayImport) && !(typesOnly && within(target, wall.mayImportTypes ?? [])))
      return `imports ${target}: ${wall.why}`;
    if (wall.packages && within(target, NOT_WORDS)) return `imports ${target}: a pure core knows words, not connections`;
  }
  return null;
}

function packageProblem(file: string, specifier: string): string | null {
  for (const wall of WALLS) {
    if (wall.packages && within(file, wall.room) && !wall.packages.includes(specifier)) return `imports package ${specifier}: ${wall.why}`;
  }
  return null;
}

function lineOf(text: string, index: number): number {
  return text.slice(0, index + 1).split('\n').length;
}
