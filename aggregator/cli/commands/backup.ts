/** `headroom backup` and `headroom restore`: everything an aggregator keeps, into a directory and out of it. Neither needs one that runs. */
import { packageVersion } from '../../package-version.ts';
import { backupConfig } from '../backup/backup-config.ts';
import { makeBackup } from '../backup/make-backup.ts';
import { restoreBackup } from '../backup/restore-backup.ts';
import type { OwnCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { ownArguments, usageOf } from '../own-arguments.ts';

const PLACE = `  --config FILE    the aggregator's configuration
  --data-dir DIR   its data directory: enough for one aggregator alone, and wins over the configuration's
  --json           tell what was done as JSON`;

const BACKUP_HELP = `headroom backup --out DIR (--config FILE | --data-dir DIR): everything an aggregator keeps, while it runs or not

  --out DIR        a directory that is not there yet
${PLACE}

Ledger, policies, templates, keys of agents, hashes of tokens, groups, models, and series where no server keeps them. Of several
aggregators (--config with "cluster") also what they share in etcd: a backup of any one of them is enough for all. Certificates
and the configuration itself are yours to keep; so are backups of InfluxDB and VictoriaMetrics. Who can read a backup can read everything
that is in it: it holds hashes of tokens and the history of all VMs.
`;

const RESTORE_HELP = `headroom restore --from DIR (--config FILE | --data-dir DIR): a backup onto an empty data directory

  --from DIR       what "headroom backup" made
${PLACE}

Every byte is checked before the first is written, and the ledger's chain afterwards. Nothing that is there is overwritten. Of several
aggregators: stop all, empty etcd (etcdctl del --prefix headroom/), restore on each one's machine from the same backup; the first fills etcd.
`;

const OPTIONS = { config: { type: 'string' }, 'data-dir': { type: 'string' }, json: { type: 'boolean', default: false } } as const;

export const backup: OwnCommand = {
  kind: 'own',
  name: 'backup',
  summary: 'everything an aggregator keeps, into a directory, while it runs or not',
  async run(argv, io) {
    const usage = usageOf('backup');
    const { out, config: file, 'data-dir': dataDir, json, help } = ownArguments('backup', argv, { ...OPTIONS, out: { type: 'string' } });
    if (help) {
      io.out(BACKUP_HELP);
      return EXIT.ok;
    }
    if (out === undefined) throw usage('--out DIR is missing');
    const config = await backupConfig(io, { config: file, dataDir }, usage);
    const { files, ledger, shared, id } = await makeBackup({ config, out, clock: io.clock, version: packageVersion() });
    const bytes = files.reduce((sum, each) => sum + each.bytes, 0);
    const done = { out, id, files: files.length, bytes, ledger, sharedKeys: shared?.keys ?? null };
    const words = `${out}: ${files.length} files, ${bytes} bytes${shared ? `, ${shared.keys} shared keys` : ''}; the ledger's chain holds: ${ledger.entries} entries, head ${ledger.head}`;
    io.out(json ? `${JSON.stringify(done)}\n` : `${words}\n`);
    return EXIT.ok;
  },
};

export const restore: OwnCommand = {
  kind: 'own',
  name: 'restore',
  summary: 'a backup onto an empty data directory, every byte and the ledger checked',
  async run(argv, io) {
    const usage = usageOf('restore');
    const { from, config: file, 'data-dir': dataDir, json, help } = ownArguments('restore', argv, { ...OPTIONS, from: { type: 'string' } });
    if (help) {
      io.out(RESTORE_HELP);
      return EXIT.ok;
    }
    if (from === undefined) throw usage('--from DIR is missing');
    const config = await backupConfig(io, { config: file, dataDir }, usage);
    const { manifest, sharedFilled } = await restoreBackup(from, config);
    const { ledger, madeAtMs, version, id } = manifest;
    const shared = sharedFilled === null ? '' : sharedFilled ? '; etcd is filled' : '; etcd was filled from it before';
    const words = `${config.dataDir}: as it was at ${new Date(madeAtMs).toISOString()} (version ${version})${shared}; the ledger's chain holds: ${ledger.entries} entries, head ${ledger.head}`;
    io.out(json ? `${JSON.stringify({ dataDir: config.dataDir, id, madeAtMs, version, ledger, sharedFilled })}\n` : `${words}\n`);
    return EXIT.ok;
  },
};
