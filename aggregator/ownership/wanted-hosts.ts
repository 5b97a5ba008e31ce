/**
 * Hosts whose agents came to one aggregator because they do not reach the one that owns them, made known to the owner through
 * the table of leases: it may well be there, and silent to these agents alone. Input: the table, our name, who is waited for;
 * output: which of ours others wait for, and which of those that we wait for are free by now. One key for each aggregator,
 * there only while somebody waits, so that asking costs nothing while all is well.
 */
import { errorText } from '../../shared/errors.ts';
import type { HostId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { LeaseId, LeaseTable } from './lease-table.ts';

/** Hosts that are waited for, each with the name of its owner. */
export type Wanted = ReadonlyMap<HostId, string>;

/** A value is far below what etcd takes (1.5 MiB); the others follow when these have been had. */
const WANTED_MAX = 2000;
const WANTED = 'wanted/';
const HOSTS = 'hosts/';
export const hostKey = (host: string): string => HOSTS + host;

export class WantedHosts {
  readonly #options: { table: LeaseTable; name: string; log: Logger };
  #wanted: Wanted = new Map();
  /** What the table has of us, and under which lease. */
  #written: { lease: LeaseId; text: string } | null = null;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: { table: LeaseTable; name: string; log: Logger }) {
    this.#options = options;
  }

  set(wanted: Wanted): void {
    this.#wanted = new Map([...wanted].slice(0, WANTED_MAX));
  }

  /** Writes what we wait for, where that has changed; one such call after the other. */
  publish(lease: LeaseId): Promise<void> {
    const written = this.#writing.catch(() => undefined).then(() => this.#write(lease));
    this.#writing = written;
    return written;
  }

  /** Those that others wait for and think ours. */
  async ofOurs(): Promise<HostId[]> {
    const { table, name } = this.#options;
    const entries = await table.list(WANTED);
    return entries.flatMap(({ key, value }) => (key === WANTED + name ? [] : this.#ownedBy(name, key, value)));
  }

  /** Those that we wait for, and that nobody holds any more, or another than we know. */
  async changed(): Promise<HostId[]> {
    if (this.#wanted.size === 0) return [];
    const owners = new Map((await this.#options.table.list(HOSTS)).map(({ key, value }) => [key, value]));
    return [...this.#wanted].flatMap(([host, owner]) => (owners.get(hostKey(host)) === owner ? [] : [host]));
  }

  async #write(lease: LeaseId): Promise<void> {
    const { table, name } = this.#options;
    const text = JSON.stringify(Object.fromEntries(this.#wanted));
    const written = this.#written?.lease === lease ? this.#written.text : '{}';
    if (text === written) return;
    await table.put(lease, WANTED + name, text);
    this.#written = { lease, text };
  }

  #ownedBy(name: string, key: string, value: string): HostId[] {
    try {
      const told = JSON.parse(value) as Record<string, unknown>;
      return Object.entries(told).flatMap(([host, owner]) => (owner === name ? [host as HostId] : []));
    } catch (error) {
      this.#options.log.warn('what another aggregator waits for cannot be read', { key, problem: errorText(error) });
      return [];
    }
  }
}
