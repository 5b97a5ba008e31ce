/**
 * `headroom restore`: a backup onto a data directory that is empty, and, of several aggregators, into an etcd that has nothing of the
 * fleet. Input: the backup's directory, the configuration; output: the manifest, and whether etcd was filled now. Every byte is checked
 * before the first is written, and the ledger's chain after the last.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { HeadroomError } from '../../../shared/errors.ts';
import type { AggregatorConfig } from '../../config.ts';
import { connectEtcd } from '../../etcd/connection.ts';
import { etcdOptions } from '../../open-cluster.ts';
import { lockDirectory } from '../../store/sqlite/directory-lock.ts';
import { verifyLedgerFile } from '../../store/sqlite/verify-ledger-file.ts';
import { LEDGER_FILE } from './make-backup.ts';
import { checkedBackup, DATA_FOLDER, type Manifest, SHARED_FILE } from './manifest.ts';
import { loadShared } from './shared-keys.ts';

const LOCK_NAME = 'aggregator';

export interface Restored {
  manifest: Manifest;
  /** Null: nothing is shared. False: another aggregator's restore has filled etcd from this backup. */
  sharedFilled: boolean | null;
}

/** Rejects with NOT_FOUND, BACKUP_DAMAGED, BACKUP_UNKNOWN, CONFLICT, CONFIG_INVALID, LEDGER_BROKEN or UNAVAILABLE; nothing is left then. */
export async function restoreBackup(from: string, config: Pick<AggregatorConfig, 'dataDir' | 'cluster'>): Promise<Restored> {
  const manifest = await checkedBackup(from);
  const { dataDir, cluster } = config;
  if ((manifest.shared === null) !== (cluster === null))
    throw new HeadroomError(
      'CONFIG_INVALID',
      manifest.shared === null
        ? 'this backup is of one aggregator alone, and the configuration has "cluster": restore it without, then let others join'
        : 'this backup is of several aggregators: name a --config that has "cluster", with the etcd to fill',
    );
  const there = existsSync(dataDir) ? readdirSync(dataDir) : [];
  if (there.some((name) => name !== `${LOCK_NAME}.lock`))
    throw new HeadroomError('CONFLICT', `${dataDir} is not empty (${there[0]}); move what is there away first`);
  const lock = lockDirectory(dataDir, LOCK_NAME);
  try {
    copyOut(manifest, from, dataDir);
    checkLedger(manifest, dataDir);
    return { manifest, sharedFilled: cluster === null ? null : await fillShared(manifest, from, cluster) };
  } catch (error) {
    for (const name of readdirSync(dataDir)) if (name !== `${LOCK_NAME}.lock`) rmSync(join(dataDir, name), { recursive: true });
    throw error;
  } finally {
    lock.release();
  }
}

function copyOut({ files }: Manifest, from: string, dataDir: string): void {
  for (const { path } of files) {
    if (path === SHARED_FILE) continue;
    const target = join(dataDir, relative(DATA_FOLDER, path));
    mkdirSync(dirname(target), { recursive: true, mode: 0o750 });
    copyFileSync(join(from, path), target);
  }
}

function checkLedger({ ledger }: Manifest, dataDir: string): void {
  const found = verifyLedgerFile(join(dataDir, LEDGER_FILE));
  if (!found.ok) throw new HeadroomError('LEDGER_BROKEN', `the restored ledger is broken at entry ${found.index}: ${found.problem}`);
  if (found.entries !== ledger.entries || found.head !== ledger.head)
    throw new HeadroomError('LEDGER_BROKEN', `the restored ledger has ${found.entries} entries, the backup had ${ledger.entries}`);
}

async function fillShared(manifest: Manifest, from: string, cluster: NonNullable<AggregatorConfig['cluster']>): Promise<boolean> {
  const connection = connectEtcd(etcdOptions(cluster.etcd));
  const { id, shared } = manifest;
  try {
    return await loadShared(connection, cluster.prefix, { file: join(from, SHARED_FILE), id, epochsBelow: shared!.epochsBelow });
  } finally {
    connection.close();
  }
}
