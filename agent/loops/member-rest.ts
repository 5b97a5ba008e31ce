/**
 * Suspends VMs that this host made for a group and brings them back, as its warm pool asks: by the same guard, in the same queue and by the
 * same ways as where a person orders it. Input: the VM; output: what was done instead of what was asked for, in words.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { refusalOfSuspend, type SuspendAsked } from '../core/suspend-guard.ts';
import type { MemberRest } from './build-desk.ts';
import type { SuspendDeskOptions } from './suspend-desk.ts';
import type { Suspender } from './suspender.ts';

export interface MemberRestParts extends Pick<SuspendDeskOptions, 'ground' | 'about'> {
  suspender: Pick<Suspender, 'recover' | 'records' | 'suspend' | 'resume' | 'giveUp'>;
  /** After all that is under way for this VM. */
  inTurn: <T>(vm: VmId, task: () => Promise<T>) => Promise<T>;
  /** It gave a sign of life: its boot is long over. */
  serves: (vm: VmId) => void;
}

const MIB = 1024 * 1024;
const ignore = (): void => undefined;

export function createMemberRest({ suspender, ground, about, inTurn, serves }: MemberRestParts): MemberRest {
  /** Throws CONFLICT saying why not. */
  const check = async (order: Extract<SuspendAsked['order'], { action: 'suspend' | 'resume' }>): Promise<void> => {
    // What an agent before us left on its way comes first.
    await suspender.recover();
    const vm = order.vm as VmId;
    const record = suspender.records().find((one) => one.vm === vm);
    const heldMiB = (record?.filledBytes ?? 0) / MIB;
    const known = await ground(vm, heldMiB);
    // Whether it comes in time, and from whom, was looked at when it came.
    const asked: SuspendAsked = { type: 'suspend', orderId: order.action, epoch: known.epoch, leaseMs: 1, order };
    const refusal = refusalOfSuspend(asked, { ...known, phase: record?.phase ?? null, heldMiB, waitedMs: 0 });
    if (refusal !== null) throw new HeadroomError('CONFLICT', refusal.reason);
  };
  return {
    suspend: (vm) =>
      inTurn(vm, async () => {
        await check({ action: 'suspend', vm });
        const { name, tenant } = about(vm);
        return (await suspender.suspend(vm, name, tenant, ignore)).reason;
      }),
    resume: (vm) =>
      inTurn(vm, async () => {
        await check({ action: 'resume', vm, roomMiB: null });
        const { reason, measured } = await suspender.resume(vm, ignore);
        if (measured.aliveMs !== undefined || measured.recipe === 'managed-save') serves(vm);
        return reason;
      }),
    giveUp: (vm) =>
      inTurn(vm, async () => {
        await suspender.recover();
        await suspender.giveUp(vm);
      }),
  };
}
