/**
 * Goal: `headroom detect` as its users meet it: a row for each row, plain and gzip, causal on files too; bad files are told
 * and skipped; mistakes on the command line say what to do.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { createPrng } from '../../shared/prng.ts';
import { headroom } from '../support/cli.ts';

const root = mkdtempSync(join(tmpdir(), 'headroom-detect-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));

function series(seed: number, rows: number): string[] {
  const random = createPrng(seed, 'detect');
  return Array.from({ length: rows }, (_, i) => {
    const time = new Date(1_396_310_400_000 + i * 300_000).toISOString().replace('T', ' ').slice(0, 19);
    return `${time},${i === 900 ? 95.5 : (20 + random.next()).toFixed(3)}`;
  });
}

function directory(name: string, files: Record<string, string | Buffer>): string {
  const dir = join(root, name);
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(join(dir, file, '..'), { recursive: true });
    writeFileSync(join(dir, file), content);
  }
  return dir;
}

const csv = (rows: readonly string[]): string => `timestamp,value\n${rows.join('\n')}\n`;
const read = (...path: string[]): string[] =>
  readFileSync(join(...path), 'utf8')
    .trimEnd()
    .split('\n');

t.test('a row for each row with its own text, plain and gzip alike; an outlier scores', async (t) => {
  const rows = series(1, 1000);
  const dir = directory('good', { 'a/one.csv': csv(rows), 'b/two.csv.gz': gzipSync(csv(rows)) });
  const out = join(root, 'good-out');
  const { code, out: text, err } = await headroom(`detect --dir ${dir} --out ${out} --json`);
  t.equal(code, 0);
  t.equal(err, '');
  t.match(JSON.parse(text.trimEnd().split('\n').at(-1)!), { files: 2, rows: 2000, failures: [] });
  const [header, ...judged] = read(out, 'a', 'one.csv');
  t.equal(header, 'timestamp,value,anomaly_score');
  t.same(
    judged.map((line) => line.split(',').slice(0, 2).join(',')),
    rows,
  );
  t.ok(Number(judged[900]!.split(',')[2]) >= 0.5, judged[900]!);
  t.same(read(out, 'b', 'two.csv'), [header, ...judged]);
});

t.test('a file cut short has the same scores as far as it goes', async (t) => {
  const rows = series(2, 1000);
  const dir = directory('cut', { 'a/whole.csv': csv(rows), 'a/cut.csv': csv(rows.slice(0, 950)) });
  const out = join(root, 'cut-out');
  t.equal((await headroom(`detect --dir ${dir} --out ${out}`)).code, 0);
  t.same(read(out, 'a', 'cut.csv'), read(out, 'a', 'whole.csv').slice(0, 951));
});

t.test('bad files are told with their line and skipped, good ones are written, the exit code says so', async (t) => {
  const dir = directory('bad', {
    'a/good.csv': csv(series(3, 100)),
    'a/columns.csv': 'when,what\n1,2\n',
    'a/value.csv': 'timestamp,value\n2014-04-01 00:00:00,1\n2014-04-01 00:05:00,lots\n',
    'a/time.csv': 'timestamp,value\nyesterday,1\n',
    'a/fields.csv': 'timestamp,value\n2014-04-01 00:00:00,1,2\n',
    'a/empty.csv': '',
    'a/broken.csv.gz': 'this is not gzip',
    'a/good.csv.gz': gzipSync(csv(series(3, 100))),
  });
  const out = join(root, 'bad-out');
  const { code, out: text, err } = await headroom(`detect --dir ${dir} --out ${out}`);
  t.equal(code, 1);
  t.match(text, /100 rows of 1 file judged/);
  for (const told of [/columns\.csv.*timestamp and value/, /value\.csv.*line 3: value "lots"/, /time\.csv.*line 2: timestamp/])
    t.match(err, told);
  for (const told of [/fields\.csv.*3 fields, the header has 2/, /empty\.csv/, /broken\.csv\.gz.*cannot be read/]) t.match(err, told);
  t.match(err, /good\.csv\.gz.*already written/);
  t.equal(read(out, 'a', 'good.csv').length, 101);
});

t.test('missing values keep their row', async (t) => {
  const dir = directory('gaps', { 'a/gaps.csv': csv(['2014-04-01 00:00:00,', '2014-04-01 00:05:00,NaN', '1396311000,4']) });
  const out = join(root, 'gaps-out');
  t.equal((await headroom(`detect --dir ${dir} --out ${out}`)).code, 0);
  t.same(read(out, 'a', 'gaps.csv').slice(1), ['2014-04-01 00:00:00,,0', '2014-04-01 00:05:00,NaN,0', '1396311000,4,0']);
});

t.test('what cannot be is told, with what to do', async (t) => {
  const dir = directory('usage', { 'a/one.csv': csv(series(4, 10)) });
  for (const [line, code, told] of [
    ['detect', 2, /--dir DIR is missing/],
    [`detect --dir ${dir}`, 2, /--out DIR is missing/],
    [`detect --dir ${dir} --out ${dir}`, 2, /lies within/],
    [`detect --dir ${dir} --out ${dir}/out`, 2, /lies within/],
    [`detect --dir ${root}/nowhere --out ${root}/x`, 3, /cannot be read/],
    [`detect --dir ${directory('none', { 'a/readme.txt': '' })} --out ${root}/x`, 3, /holds no/],
    ['detect --threshold 3', 2, /--threshold/],
  ] as const) {
    const run = await headroom(line);
    t.equal(run.code, code, line);
    t.match(run.err, told, line);
  }
  const help = await headroom('detect --help');
  t.equal(help.code, 0);
  t.match(help.out, /--dir DIR[\s\S]*anomaly_score/);
});

t.test('an interrupt ends it; a terminal sees progress', async (t) => {
  const dir = directory('stop', { 'a/one.csv': csv(series(5, 10)) });
  const stopped = await headroom(`detect --dir ${dir} --out ${root}/stop-out`, { stop: AbortSignal.abort() });
  t.equal(stopped.out, '', 'nothing is told of half a run');
  t.match((await headroom(`detect --dir ${dir} --out ${root}/stop-out`, { terminal: true })).err, /0 of 1 files/);
});
