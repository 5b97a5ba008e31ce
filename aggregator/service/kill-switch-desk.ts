/**
 * Kill switches as people throw them. Input: a scope, on or off, by whom and why; output: frames to the hosts concerned,
 * commands withdrawn, an event. Told first, written down after: a switch must not wait for a disk.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { type KillScope, scopeName } from './kill-switches.ts';
import type { Parts } from './parts.ts';

interface DeskParts extends Pick<Parts, 'kills' | 'state' | 'executor' | 'reporter' | 'time'> {
  /** Connected now. */
  hosts: () => readonly HostId[];
  send: (host: HostId, frame: FrameOf<'kill-switch'>) => void;
}

export class KillSwitchDesk {
  readonly #parts: DeskParts;

  constructor(parts: DeskParts) {
    this.#parts = parts;
  }

  /** Resolves when it is written down; hosts were told before. */
  async set(scope: KillScope, engaged: boolean, by: string, reason: string): Promise<void> {
    const { kills, state, executor, reporter, time } = this.#parts;
    if (scope.kind === 'fleet') state.killSwitch = engaged;
    const saved = kills.set(scope, engaged, by, reason, time.nowMs());
    const hosts = scope.kind === 'fleet' ? this.#parts.hosts() : [scope.kind === 'host' ? scope.host : state.vm(scope.vm)?.host];
    if (engaged) {
      const concerned = (step: { vm: VmId; host: HostId }): boolean =>
        scope.kind === 'vm' ? step.vm === scope.vm : hosts.includes(step.host);
      executor.abort((step) => scope.kind === 'fleet' || concerned(step), `kill switch: ${reason}`);
    }
    for (const host of hosts) if (host !== undefined) this.tell(host);
    const message = `kill switch of ${scopeName(scope)} ${engaged ? 'engaged' : 'released'} by ${by}: ${reason}`;
    const [vm, host] = [scope.kind === 'vm' ? scope.vm : null, scope.kind === 'host' ? scope.host : null];
    reporter.operator(vm, host, message, 'operator', { by, engaged });
    await saved;
  }

  /** Takes what another aggregator was told. Rejects when the ledger does not answer. */
  async refresh(): Promise<void> {
    const { kills, state, executor } = this.#parts;
    if (!(await kills.refresh())) return;
    state.killSwitch = kills.fleetEngaged;
    if (kills.fleetEngaged) executor.abort(() => true, 'kill switch of the fleet');
    for (const host of this.#parts.hosts()) this.tell(host);
  }

  /** Every switch that concerns a host, as it is now. */
  tell(host: HostId): void {
    const { kills, state, send } = this.#parts;
    const here = (): VmId[] => state.vmIds().filter((vm) => state.vm(vm)?.host === host);
    for (const frame of kills.framesFor(host, here)) send(host, frame);
  }
}
