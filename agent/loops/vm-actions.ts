/**
 * What the aggregator asks for a VM that went wrong: its network cut off for a while, given back, a restart. Each waits its turn
 * in the VM's queue and is judged there. Isolation is undone by this host on time
 * whether an aggregator is there or not. Input: action frames, the clock; output: links and filters, result frames, events.
 */
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { isGrowOnly } from '../core/eligibility.ts';
import { isolationLeftMs } from '../core/isolation.ts';
import { type ActedVm, guardVmAction, type VmActionAsked, type VmActionResult } from '../core/vm-action-guard.ts';
import { clockReading, type HostContext, killReason, tell } from './host-context.ts';
import { type Ended, isolate, release } from './isolation.ts';
import { isUp, type VmEntry } from './vm-table.ts';

export interface VmActionLoop {
  receive(asked: VmActionAsked): void;
  /** Once a second: what has run out is undone. */
  tick(): void;
}

/** Answers remembered, over all VMs: repeats come within seconds. */
const ANSWERS_MAX = 256;
/** Wait before links that would not come up are tried again. */
const RETRY_MS = 5000;

export function createVmActionLoop(context: HostContext): VmActionLoop {
  const { clock, queues, table } = context;
  const answers = new Map<string, VmActionResult>();
  const retryAtMs = new Map<VmId, number>();

  const answer = ({ actionId, vm, action }: VmActionAsked, { outcome, reason }: Ended): void => {
    const wallMs = clock.wallMs();
    const result: VmActionResult = { type: 'vm-action-result', actionId, vm, action, outcome, reason: reason.slice(0, 1024), wallMs };
    answers.set(actionId, result);
    const oldest = answers.keys().next().value;
    if (answers.size > ANSWERS_MAX && oldest !== undefined) answers.delete(oldest);
    context.log.warn(`${action} ${outcome}`, { actionId, vm, reason });
    context.send(result);
  };

  const run = async (asked: VmActionAsked, entry: VmEntry, receivedAtMs: number): Promise<void> => {
    const earlier = answers.get(asked.actionId);
    if (earlier !== undefined) {
      context.send(earlier);
      return;
    }
    entry.jobActive = isUp(entry) && (await context.hypervisor.jobActive(entry.id).catch(() => true));
    const verdict = guardVmAction(asked, actedVm(context, entry), context.host.lease?.epoch ?? 0, clock.bootMs() - receivedAtMs);
    answer(asked, verdict.kind === 'no' ? verdict : await carryOutAction(context, entry, asked));
    context.changed();
  };

  return {
    receive(asked) {
      const receivedAtMs = clock.bootMs();
      const entry = table.get(asked.vm as VmId);
      if (entry === undefined || !entry.managed) {
        answer(asked, { outcome: 'refused', reason: `VM ${asked.vm} is not on this host or not managed by it` });
        return;
      }
      const queued = queues.add(entry.id, () => run(asked, entry, receivedAtMs));
      if (!queued) answer(asked, { outcome: 'failed', reason: 'too many instructions are waiting for this VM (is it stuck?)' });
    },
    tick() {
      for (const entry of table.values()) {
        const due = entry.record.isolation !== undefined && isolationLeftMs(entry.record.isolation, clockReading(context)) === 0;
        if (!due || !isUp(entry) || (retryAtMs.get(entry.id) ?? 0) > clock.monotonicMs()) continue;
        retryAtMs.set(entry.id, clock.monotonicMs() + RETRY_MS);
        queues.add(entry.id, () => endOnTime(context, entry));
      }
    },
  };
}

function actedVm(context: HostContext, entry: VmEntry): ActedVm {
  return {
    running: isUp(entry),
    growOnly: entry.facts !== null && isGrowOnly(entry.facts),
    isolated: entry.record.isolation !== undefined,
    jobActive: entry.jobActive,
    killed: killReason(context, entry.id),
  };
}

async function carryOutAction(context: HostContext, entry: VmEntry, asked: VmActionAsked): Promise<Ended> {
  try {
    if (asked.action === 'isolate') return await isolate(context, entry, { ...asked, means: asked.means ?? 'link' });
    if (asked.action === 'release') return await release(context, entry);
    await context.hypervisor.restart(entry.id);
    return { outcome: 'applied', reason: '' };
  } catch (error) {
    return { outcome: 'failed', reason: errorText(error) };
  }
}

/** A kill switch does not make a quarter of an hour last for ever: what was taken is given back. */
async function endOnTime(context: HostContext, entry: VmEntry): Promise<void> {
  const { isolation } = entry.record;
  if (isolation === undefined || isolationLeftMs(isolation, clockReading(context)) > 0) return;
  const { outcome, reason } = await release(context, entry).catch((error: unknown) => ({ outcome: 'failed', reason: errorText(error) }));
  if (outcome === 'applied') tell(context, 'restored', `${entry.name}: its isolation is over, its network is as it was`, { vm: entry.id });
  else context.log.error('an isolation could not be undone, it is tried again', { vm: entry.id, reason });
  context.changed();
}
