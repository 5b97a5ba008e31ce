/**
 * `headroom backup`: everything an aggregator keeps, in one directory, while it runs or not. Input: its configuration, where to; output:
 * the manifest. Policies, templates, keys, groups, models and switches lie in the ledger's file (of several aggregators: in etcd).
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock } from '../../../shared/clock.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import type { AggregatorConfig } from '../../config.ts';
import { connectEtcd } from '../../etcd/connection.ts';
import { etcdOptions } from '../../open-cluster.ts';
import { verifyLedgerFile } from '../../store/sqlite/verify-ledger-file.ts';
import { copyData } from './copy-data.ts';
import {
  BACKUP_FORMAT,
  type BackupFile,
  DATA_FOLDER,
  digestOfFile,
  MANIFEST_FILE,
  type Manifest,
  manifestText,
  SHARED_FILE,
} from './manifest.ts';
import { saveShared } from './shared-keys.ts';

export const LEDGER_FILE = 'ledger/ledger.db';

export interface BackupOptions {
  config: Pick<AggregatorConfig, 'dataDir' | 'cluster'>;
  /** A directory that is not there yet: it appears whole, or not at all. */
  out: string;
  clock: Clock;
  version: string;
}

/** Rejects with NOT_FOUND, CONFLICT, LEDGER_BROKEN, STORE_UNAVAILABLE or UNAVAILABLE; nothing is left then. */
export async function makeBackup({ config, out, clock, version }: BackupOptions): Promise<Manifest> {
  const { dataDir, cluster } = config;
  if (!existsSync(join(dataDir, LEDGER_FILE)))
    throw new HeadroomError('NOT_FOUND', `${dataDir} holds no ledger; name the aggregator's --config or its --data-dir`);
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new HeadroomError('CONFLICT', `${out} is not empty; name a directory that is not there yet`);
  const unfinished = `${out}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(join(unfinished, DATA_FOLDER), { recursive: true, mode: 0o750 });
  try {
    const paths = (await copyData(dataDir, join(unfinished, DATA_FOLDER))).map((path) => join(DATA_FOLDER, path));
    const ledger = verifyLedgerFile(join(unfinished, DATA_FOLDER, LEDGER_FILE));
    if (!ledger.ok)
      throw new HeadroomError(
        'LEDGER_BROKEN',
        `the ledger is broken at entry ${ledger.index}: ${ledger.problem}; no backup was made of it ("headroom audit verify" tells more)`,
      );
    let shared: Manifest['shared'] = null;
    if (cluster !== null) {
      // After the copy of the ledger: what etcd has beyond it is read from etcd again, what it lacked could not be.
      const connection = connectEtcd(etcdOptions(cluster.etcd));
      shared = await saveShared(connection, cluster.prefix, join(unfinished, SHARED_FILE)).finally(() => connection.close());
      paths.push(SHARED_FILE);
    }
    const files: BackupFile[] = [];
    for (const path of paths) files.push({ path, ...(await digestOfFile(join(unfinished, path))) });
    const manifest: Manifest = {
      ...{ format: BACKUP_FORMAT, id: randomUUID(), madeAtMs: Math.round(clock.wallMs()), version, files },
      ...{ ledger: { entries: ledger.entries, head: ledger.head }, shared },
    };
    writeFileSync(join(unfinished, MANIFEST_FILE), manifestText(manifest), { mode: 0o640 });
    mkdirSync(dirname(out), { recursive: true });
    renameSync(unfinished, out);
    return manifest;
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    throw error;
  }
}
