/**
 * Commands from the aggregator: each waits its turn in its VM's queue, is judged there on fresh readings, carried out and
 * answered with the value read back. Input: command frames; output: result frames.
 */
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { comparePairs, type Outcome, type Pair, type Setting } from '../../shared/resources.ts';
import { type Command, guardCommand } from '../core/command-guard.ts';
import { withPair } from '../core/journal.ts';
import { guardedHost, type HostContext, killReason, statsAgeMsMax } from './host-context.ts';
import { refreshSetting } from './settings.ts';
import { vcpuRefusal } from './vcpu-loop.ts';
import { guardedVm, isUp, rememberResult, type VmEntry } from './vm-table.ts';
import { carryOut } from './writer.ts';

export interface CommandLoop {
  receive(command: Command): void;
  /** For a guest agent: passed on by `relay`, which says false when none is connected. */
  receiveForGuest(command: GuestCommand, relay: (command: GuestCommand) => boolean): void;
}

type GuestCommand = FrameOf<'guest-command'>;
type CpusOnline = Extract<GuestCommand['action'], { kind: 'cpus-online' }>;

export function createCommandLoop(context: HostContext): CommandLoop {
  const { clock, queues, table } = context;
  /** Newest pair received per VM and resource: what waits behind it is superseded. */
  const newest = new Map<string, Pair>();
  /** Waiting or being carried out: a repeat of these is not taken in, their result answers it. */
  const underWay = new Set<string>();

  const answer = (command: Command, entry: VmEntry | undefined, outcome: Outcome, reason: string, readBack: Setting | null): void => {
    const { commandId, vm, resource, pair } = command;
    const result = {
      type: 'result' as const,
      commandId,
      vm,
      resource,
      pair,
      outcome,
      reason: reason.slice(0, 1024),
      readBack,
      wallMs: clock.wallMs(),
    };
    if (entry) rememberResult(entry, result);
    context.log.info(`command ${outcome}`, { commandId, epoch: pair.epoch, vm, resource, reason });
    context.send(result);
  };

  /** A newer one came while this one waited. What was late when it came is refused by the guard; a repeat is answered. */
  const overtaken = ({ vm, resource, pair, commandId }: Command, entry: VmEntry, newestAtReceipt: Pair): boolean => {
    const latest = newest.get(`${vm}/${resource}`) ?? pair;
    const answered = entry.results.some((result) => result.commandId === commandId);
    return !answered && comparePairs(latest, newestAtReceipt) > 0 && comparePairs(latest, pair) > 0;
  };

  const run = async (command: Command, entry: VmEntry, receivedAtMs: number, newestAtReceipt: Pair): Promise<void> => {
    if (overtaken(command, entry, newestAtReceipt)) {
      const inForce = entry.current[command.resource] ?? null;
      answer(command, entry, 'superseded', 'a newer command for this VM and resource came before its turn', inForce);
      return;
    }
    if (isUp(entry)) await freshen(context, entry, command);
    const vm = guardedVm(entry, killReason(context, entry.id), clock.monotonicMs(), statsAgeMsMax(context.settings));
    const verdict = guardCommand(command, vm, guardedHost(context), clock.bootMs() - receivedAtMs);
    if (verdict.kind === 'repeat') {
      context.send(verdict.result);
      return;
    }
    // Whatever was decided about it, nothing older than this command may follow.
    entry.record = withPair(entry.record, command.resource, command.pair);
    if (verdict.kind === 'no') {
      answer(command, entry, verdict.outcome, verdict.reason, entry.current[command.resource] ?? null);
      return;
    }
    const written = await carryOut(context, entry, verdict.setting, command.pair);
    answer(command, entry, written.outcome, written.reason, written.readBack);
  };

  return {
    receive(command) {
      const receivedAtMs = clock.bootMs();
      const entry = table.get(command.vm as VmId);
      if (entry === undefined || !entry.managed) {
        answer(command, undefined, 'refused', `VM ${command.vm} is not on this host or not managed by it`, null);
        return;
      }
      const repeat = `${command.commandId} ${command.pair.epoch}.${command.pair.generation}`;
      if (underWay.has(repeat)) return;
      const key = `${command.vm}/${command.resource}`;
      const before = newest.get(key) ?? command.pair;
      const latest = comparePairs(command.pair, before) > 0 ? command.pair : before;
      newest.set(key, latest);
      const queued = queues.add(entry.id, () => run(command, entry, receivedAtMs, latest).finally(() => underWay.delete(repeat)));
      if (queued) underWay.add(repeat);
      else answer(command, undefined, 'failed', 'too many instructions are waiting for this VM (is it stuck?)', null);
    },
    receiveForGuest(command, relay) {
      const reason = guestCommandRefusal(context, command) ?? (relay(command) ? null : NO_GUEST[command.action.kind]);
      if (reason !== null) context.send(refusedForGuest(command, reason, clock.wallMs()));
    },
  };
}

const NO_GUEST = {
  'cpus-online': 'no guest agent is connected',
  credential: 'no guest agent that makes logins is connected to its host: start one in the guest, or a newer one',
} as const;

function refusedForGuest(
  { commandId, vm, pair, action }: GuestCommand,
  reason: string,
  wallMs: number,
): FrameOf<'result'> | FrameOf<'credential'> {
  if (action.kind === 'credential') {
    return {
      ...{ type: 'credential', commandId, vm, state: 'refused', reason, account: null, method: null, expiresAtMs: null, sealed: null },
      ...{ elapsedMs: 0, phases: [], stalledMs: { cpu: null, memory: null, io: null } },
    };
  }
  return { type: 'result', commandId, vm, resource: 'cpu', pair, outcome: 'refused', reason, readBack: null, wallMs };
}

/** The number of vCPUs is changed only where an administrator labelled the VM for it; a login is the guest's own to allow. */
function guestCommandRefusal(context: HostContext, command: GuestCommand): string | null {
  const entry = context.table.get(command.vm as VmId);
  if (entry === undefined || !entry.managed || entry.facts === null) return `VM ${command.vm} is not on this host or not managed by it`;
  const killed = killReason(context, entry.id);
  if (killed !== null) return `kill switch: ${killed}`;
  if (command.action.kind === 'credential') return isUp(entry) ? null : 'the VM is not running';
  return vcpuRefusal(entry) ?? vcpusRefused(context, entry, command.action);
}

function vcpusRefused({ host }: HostContext, entry: VmEntry, { vcpus, original }: CpusOnline): string | null {
  if (original === true) return null;
  const all = entry.facts?.vcpusOnline ?? 0;
  if (vcpus > all) return `${vcpus} vCPUs online were asked for; it has ${all}`;
  if (!entry.vcpuHold.able) return 'no guest agent is connected that puts vCPUs back by itself';
  if (entry.jobActive) return 'a job (migration, backup or save) is under way';
  return host.leaseOut ? 'the lease has run out' : null;
}

/** The guard judges on what is true now: the value in force, and whether a job runs. */
async function freshen(context: HostContext, entry: VmEntry, command: Command): Promise<void> {
  const [, job] = await Promise.all([
    refreshSetting(context, entry, command.resource),
    context.hypervisor.jobActive(entry.id).catch((error: unknown) => {
      context.log.warn('could not ask for jobs; taken as one under way', { vm: entry.id, error: errorText(error) });
      return true;
    }),
  ]);
  entry.jobActive = job;
}
