/**
 * What a run plays on: guests with their workloads, a host agent and an aggregator, seen through the API. Two stages exist,
 * real-stage.ts (libvirt and QEMU) and simulated-stage.ts; everything after the set-up is the same for both.
 */
import type { VmView } from '../aggregator/http/service.ts';
import type { LedgerStore } from '../aggregator/store/ledger-store.ts';
import type { SeriesStore } from '../aggregator/store/series-store.ts';
import type { Api } from './api.ts';
import type { CrossCheck } from './cross-check.ts';
import type { RunDirectory } from './run-directory.ts';
import type { Teardown } from './teardown.ts';
import type { Terminal } from './terminal.ts';

export interface Setting {
  terminal: Terminal;
  teardown: Teardown;
  run: RunDirectory;
  port: number;
  /** Throws CANCELLED when the person at the keyboard has had enough. */
  checkpoint(): void;
}

export interface Records {
  series: SeriesStore;
  ledger: LedgerStore;
}

export interface Stage {
  api: Api;
  /** In one line: what carries the guests here. */
  description: string;
  /** Is everything still alive? Null, or what ended, in words. */
  failure(): string | null;
  /** Ends the services in order, so that everything is in the stores, and opens those. */
  records(): Promise<Records>;
  /** Compares the claim with what the hypervisor's own tool shows; null where there is no such tool. */
  crossCheck: ((viewOf: () => Promise<VmView>) => Promise<CrossCheck>) | null;
}
