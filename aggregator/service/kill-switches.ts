/**
 * Kill switches as an operator set them: fleet, hosts, VMs. Remembered across restarts, and told again to a host that comes
 * back, so that one set while it was away still holds. Input: scopes; output: frames for hosts. The host agent keeps its own.
 */
import { isHeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { LedgerStore } from '../store/ledger-store.ts';
import { SharedText } from '../store/shared-text.ts';

export type KillScope = { kind: 'fleet' } | { kind: 'host'; host: HostId } | { kind: 'vm'; vm: VmId };

interface Switch {
  engaged: boolean;
  reason: string;
}

const BLOB = 'kill-switches';
/** Longest text a frame carries. */
const REASON_LENGTH_MAX = 256;

export function scopeName(scope: KillScope): string {
  return scope.kind === 'fleet' ? 'fleet' : scope.kind === 'host' ? `host ${scope.host}` : `vm ${scope.vm}`;
}

export class KillSwitches {
  readonly #ledger: LedgerStore;
  readonly #kept: SharedText;
  /** By `fleet`, `host NAME`, `vm UUID`. One that was released stays until the next: hosts that were away must hear of it. */
  #switches = new Map<string, Switch>();

  constructor(ledger: LedgerStore) {
    this.#ledger = ledger;
    this.#kept = new SharedText(ledger, BLOB);
  }

  async load(): Promise<void> {
    this.#take(await this.#kept.load());
  }

  /** Takes what another aggregator was told. True: something is different. Rejects when the ledger does not answer. */
  async refresh(): Promise<boolean> {
    const text = await this.#kept.changed();
    this.#take(text);
    return text !== null;
  }

  #take(text: string | null): void {
    if (text !== null) this.#switches = new Map(JSON.parse(text) as [string, Switch][]);
  }

  get fleetEngaged(): boolean {
    return this.#switches.get('fleet')?.engaged ?? false;
  }

  async set(scope: KillScope, engaged: boolean, by: string, reason: string, nowMs: number): Promise<void> {
    this.#switches.set(scopeName(scope), { engaged, reason: reason.slice(0, REASON_LENGTH_MAX) });
    await this.#write(scopeName(scope));
    const action = engaged ? 'kill-switch on' : 'kill-switch off';
    await this.#ledger.append(nowMs, { kind: 'operator', action, by, target: scopeName(scope), reason });
  }

  /** Another aggregator may have been told of another scope meanwhile: its word stays. */
  async #write(scope: string): Promise<void> {
    try {
      await this.#put();
    } catch (error) {
      if (!isHeadroomError(error, 'VERSION_CHANGED')) throw error;
      const own = this.#switches.get(scope);
      await this.load();
      if (own !== undefined) this.#switches.set(scope, own);
      await this.#put();
    }
  }

  async #put(): Promise<void> {
    await this.#kept.save(JSON.stringify([...this.#switches]));
  }

  /** Why nothing may be taken from a VM; null = nothing speaks against it. */
  reasonFor(vm: VmId, host: HostId): string | null {
    for (const scope of ['fleet', `host ${host}`, `vm ${vm}`]) {
      const found = this.#switches.get(scope);
      if (found?.engaged) return `kill switch of ${scope}: ${found.reason}`;
    }
    return null;
  }

  /** What a host should be told now, of everything that concerns it. */
  framesFor(host: HostId, vms: () => readonly VmId[]): FrameOf<'kill-switch'>[] {
    const fleet = this.#switches.get('fleet');
    const own = this.#switches.get(`host ${host}`);
    const frames: FrameOf<'kill-switch'>[] = [];
    const whole = own?.engaged ? own : fleet?.engaged ? fleet : (own ?? fleet);
    if (whole) frames.push(frame(null, whole));
    // Mostly no VM has one, and then nobody need go through a fleet for those of a host.
    if (![...this.#switches.keys()].some((scope) => scope.startsWith('vm '))) return frames;
    for (const vm of vms()) {
      const each = this.#switches.get(`vm ${vm}`);
      if (each) frames.push(frame(vm, each));
    }
    return frames;
  }
}

function frame(vm: VmId | null, { engaged, reason }: Switch): FrameOf<'kill-switch'> {
  return { type: 'kill-switch', vm, engaged, reason };
}
