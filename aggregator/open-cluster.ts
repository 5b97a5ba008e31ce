/**
 * Builds what several aggregators share: part of the composition root. Input: configuration, the ledger on this machine, clock,
 * log; output: the shared ledger and this aggregator's ownership, both over etcd. Rejects with what is wrong.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Clock } from '../shared/clock.ts';
import { errorText, HeadroomError } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { connectEtcd, type EtcdOptions } from './etcd/connection.ts';
import { epochBase } from './etcd/epoch-base.ts';
import { etcdLeaseTable } from './etcd/etcd-lease-table.ts';
import { openEtcdLedgerStore } from './etcd/etcd-ledger-store.ts';
import { EtcdKeys } from './etcd/keys.ts';
import type { KeptAnswers } from './http/kept-answers.ts';
import { joinOwnership } from './ownership/leased-ownership.ts';
import type { Ownership } from './ownership/ownership.ts';
import { sharedAnswers } from './service/shared-answers.ts';
import type { LedgerStore } from './store/ledger-store.ts';

export interface Cluster {
  ledger: LedgerStore;
  /** To requests that may be sent again to another aggregator. */
  answers: KeptAnswers;
  /** Joins the others: once everything else is ready to take hosts. Rejects with UNAVAILABLE. */
  join(): Promise<Ownership>;
  /** After ledger and ownership are closed. */
  close(): void;
}

export interface OpenClusterOptions {
  config: ClusterConfig;
  /** On this machine: it becomes the copy. */
  ledger: LedgerStore;
  clock: Clock;
  log: Logger;
}

export async function openCluster({ config, ledger: copy, clock, log }: OpenClusterOptions): Promise<Cluster> {
  const { name, agentsUrl: url, prefix, leaseMs } = config;
  const connection = connectEtcd(etcdOptions(config.etcd));
  try {
    const ledger = await openEtcdLedgerStore({ connection, prefix, clock, name, copy });
    const table = etcdLeaseTable(connection, prefix, await epochBase(new EtcdKeys(connection, prefix)));
    return {
      ledger,
      answers: sharedAnswers(table, clock),
      join: () => joinOwnership({ table, clock, log, name, url, word: newWord(), leaseMs }),
      close: () => connection.close(),
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Nobody guesses it, and each process has its own. */
const newWord = (): string => randomBytes(32).toString('base64url');

export function etcdOptions({ endpoints, caFile, certFile, keyFile, username, passwordFile }: ClusterConfig['etcd']): EtcdOptions {
  const tls = caFile === undefined ? undefined : { ca: text('caFile', caFile), ...pair(certFile, keyFile) };
  const auth =
    username === undefined || passwordFile === undefined ? undefined : { username, password: text('passwordFile', passwordFile).trim() };
  return { endpoints, ...(tls ? { tls } : {}), ...(auth ? { auth } : {}) };
}

function pair(certFile: string | undefined, keyFile: string | undefined): { cert?: string; key?: string } {
  return certFile === undefined || keyFile === undefined ? {} : { cert: text('certFile', certFile), key: text('keyFile', keyFile) };
}

function text(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `cluster.etcd.${key} ${file} cannot be read: ${errorText(error)}`, { cause: error });
  }
}
