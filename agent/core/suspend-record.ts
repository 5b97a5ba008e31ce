/**
 * What this host remembers of a VM it suspended or brought back, and what follows from it after the agent died at any moment. Pure.
 * Input: the record as it was last written, what the hypervisor says now; output: what to do, and the phase that is true then. A
 * guest that may have run since its snapshot is never brought back onto it: its disks have moved on.
 */
import { HeadroomError } from '../../shared/errors.ts';
import { type VmId, vmId } from '../../shared/ids.ts';
import { SUSPEND_PHASES, SUSPEND_RECIPES, type SuspendPhase, type SuspendRecipe } from '../../shared/protocol/suspend-frames.ts';
import type { HeldDisk } from './held-disk.ts';
import type { TouchScore, TouchState } from './touch-model.ts';

export interface SuspendRecord {
  vm: VmId;
  name: string;
  /** Whose key its snapshots are sealed with. */
  tenant: string;
  /** Null: it is neither suspended nor on a snapshot; only what was learnt of it is kept. */
  phase: SuspendPhase | null;
  recipe: SuspendRecipe;
  /** Why not by memory's file, else empty. */
  reason: string;
  /** The snapshot it lies on, or will be brought back from. */
  snapshot: string | null;
  /** Snapshots before that one, kept until the guest has given a sign of life on it. */
  older: string[];
  sinceMs: number;
  memoryBytes: number;
  filledBytes: number;
  /** Where its own definition puts its memory; null = not known. The file is gone while it is suspended, and each start makes it. */
  ownMemory: string | null;
  /** Of the memory's file that is shown: device and inode; null = none is. */
  file: { dev: number; ino: number } | null;
  touches: TouchState | null;
  score: TouchScore | null;
  problems: string[];
  /** Another host may bring it back from the snapshot here, with this key (hexadecimal); once it does, the phase is `away`. */
  lentTo: { host: string; key: string } | null;
  /** The snapshot is another host's, asked there with this key until all of it is here. */
  from: SnapshotOrigin | null;
  /** Disks that this host alone sees, as they were taken into the store last, or as they come from `from`. */
  disks: HeldDisk[];
  /** What it touches first of its disks that came from other hosts, by target; absent = nothing is known. */
  diskTouches?: Record<string, TouchState>;
}

export interface SnapshotOrigin {
  host: string;
  /** HOST:PORT. */
  address: string;
  key: string;
  /** Its definition came with it: it goes again when the VM never ran here. */
  defined: boolean;
  /** It was asked whether the VM may run here: from then on it may not be given back without an answer. */
  asked: boolean;
  /** Nothing more is needed from there: it is to be told so. */
  settled: boolean;
}

export type Power = 'running' | 'paused' | 'off';

export type Remedy =
  /** Nothing is left to do. */
  | { kind: 'none'; phase: SuspendPhase }
  /** It stands still because of us, and goes on as it was. */
  | { kind: 'go-on' }
  /** The snapshot is whole, and the VM has not moved since. */
  | { kind: 'end' }
  /** What was begun for the resume is taken away; the snapshot is as it was. */
  | { kind: 'begin-anew' }
  /** It runs over its snapshot, whose chunks somebody must serve; paused means it must still be set going. */
  | { kind: 'take-over'; goOn: boolean }
  /** It is no longer where it was left: its snapshot is of the past. */
  | { kind: 'let-go'; why: string };

export const NOBODYS = 'it was started by somebody else: its snapshot is out of date';
const ENDED = 'it ended while nobody looked: as after a power cut it boots from its disk';

/**
 * @param saved the hypervisor holds a saved state of it
 * A VM that was `suspending` lay over an older snapshot when `file` is set.
 */
export function remedyFor({ phase, recipe, file }: SuspendRecord, power: Power, saved: boolean): Remedy {
  if (phase === null) return { kind: 'none', phase: 'suspended' };
  if (recipe === 'managed-save' && phase !== 'suspending') {
    if (power !== 'off') return { kind: 'let-go', why: 'the hypervisor has brought it back' };
    return saved ? { kind: 'none', phase: 'suspended' } : { kind: 'let-go', why: 'the hypervisor holds nothing saved of it any more' };
  }
  switch (phase) {
    case 'suspending':
      if (power === 'off') return saved ? { kind: 'none', phase: 'suspended' } : { kind: 'let-go', why: ENDED };
      if (file !== null) return { kind: 'take-over', goOn: power === 'paused' };
      return power === 'paused' ? { kind: 'go-on' } : { kind: 'let-go', why: 'its suspension was given up' };
    case 'ending':
      if (power === 'paused') return { kind: 'end' };
      return power === 'off' ? { kind: 'none', phase: 'suspended' } : { kind: 'let-go', why: NOBODYS };
    case 'away':
      // Whatever happens to it here: the host where it runs asks for its chunks.
      return { kind: 'none', phase };
    case 'suspended':
      return power === 'off' ? { kind: 'none', phase } : { kind: 'let-go', why: NOBODYS };
    case 'preparing':
    case 'prepared':
      // A guest that waits for its state cannot run: one that runs was brought back whole, if not by us.
      return power === 'running' ? { kind: 'take-over', goOn: false } : { kind: 'begin-anew' };
    case 'going':
    case 'running':
      if (power === 'off') return { kind: 'let-go', why: ENDED };
      return { kind: 'take-over', goOn: phase === 'going' && power === 'paused' };
  }
}

/** Throws STORE_CORRUPT saying what is wrong. */
export function readSuspendRecord(text: string): SuspendRecord {
  const value = JSON.parse(text) as SuspendRecord;
  const known =
    (value.phase === null || SUSPEND_PHASES.includes(value.phase)) && SUSPEND_RECIPES.includes(value.recipe) && Array.isArray(value.older);
  if (!known) throw new HeadroomError('STORE_CORRUPT', 'a record of a suspended VM is not one that this program writes');
  return {
    ...value,
    vm: vmId(value.vm),
    ownMemory: value.ownMemory ?? null,
    lentTo: value.lentTo ?? null,
    from: value.from ?? null,
    disks: value.disks ?? [],
  };
}

/** Snapshots that nothing may remove. */
export function neededSnapshots(records: readonly SuspendRecord[], tenant: string): Set<string> {
  const own = records.filter((record) => record.tenant === tenant);
  return new Set(
    own.flatMap(({ snapshot, older, disks }) => [
      ...(snapshot === null ? [] : [snapshot]),
      ...older,
      ...disks.map((disk) => disk.snapshot),
    ]),
  );
}
