/** `headroom detect`: recorded series through the detector that runs live, one likelihood a row. Needs no aggregator. */
import type { CliIo, OwnCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { ownArguments, usageOf } from '../own-arguments.ts';

const HELP = `headroom detect --dir DIR --out DIR [--json]: how likely each row of recorded series is an anomaly

  --dir DIR   reads every DIR/CATEGORY/FILE.csv or .csv.gz with the columns timestamp and value. Times like
              2014-04-01 00:05:00 (UTC) or seconds since 1970; an empty or NaN value is a point that did not come
  --out DIR   writes DIR/CATEGORY/FILE.csv: timestamp,value,anomaly_score, one row for each row read
  --json      one object on the last line: files, rows, alarms, failures

Each row is judged from the rows before it, once; nothing is set per file. An anomaly_score of 0.5 and more is an alarm;
after one the detector rests, and it scores nothing in its first 60 rows. A file that cannot be read is told and skipped;
then the exit code is 1.
`;

const usage = usageOf('detect');
const OPTIONS = {
  dir: { type: 'string' },
  out: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

export const detect: OwnCommand = {
  kind: 'own',
  name: 'detect',
  summary: 'recorded series judged row by row: how likely each is an anomaly',
  async run(argv, io: CliIo) {
    const { dir, out, json, help } = ownArguments('detect', argv, OPTIONS);
    if (help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (dir === undefined) throw usage('--dir DIR is missing');
    if (out === undefined) throw usage('--out DIR is missing');
    const { runDetect } = await import('../detect/run-detect.ts');
    const { ENSEMBLE } = await import('../../core/anomaly/ensemble-detector.ts');
    return runDetect({ dir, out, json }, ENSEMBLE, io);
  },
};
