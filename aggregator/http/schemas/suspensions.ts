/** Suspended VMs and orders about them, as the API tells them. */
import Type from 'typebox';
import { DISK_STATES, SUSPEND_ACTIONS, SUSPEND_PHASES, SUSPEND_RECIPES, TIER_KINDS } from '../../../shared/protocol/suspend-frames.ts';
import { OUTCOMES } from '../../../shared/resources.ts';
import { Nullable, UtcMs } from './words.ts';

export const Suspension = Type.Object(
  {
    vm: Type.String(),
    name: Type.String(),
    host: Type.String(),
    phase: Type.Enum(SUSPEND_PHASES),
    recipe: Type.Enum(SUSPEND_RECIPES),
    reason: Type.String({ description: "Why by the hypervisor's own saving, else empty" }),
    snapshot: Nullable(Type.String({ description: "Merkle root of memory, devices' state and machine; null = the hypervisor has it" })),
    sinceMs: UtcMs,
    memoryBytes: Type.Integer(),
    filledBytes: Type.Integer({ description: 'Of it, what is not zero' }),
    resumes: Type.Integer({ description: 'Resumes from which it was learnt what it touches first' }),
    predictedChunks: Type.Integer({ description: 'Of 64 KiB, fetched before it runs' }),
    hitRate: Nullable(Type.Number({ description: 'Of the last predicted resume: share of what was touched that had been fetched' })),
    wasteRate: Nullable(Type.Number({ description: 'The same: share of what was fetched that was not touched' })),
    problems: Type.Array(Type.String(), { description: 'What a verification found, and what it waits for' }),
    from: Type.Optional(Type.String({ description: 'The host its chunks still come from; absent = all are here' })),
    lentTo: Type.Optional(Type.String({ description: 'The host that may bring it back; absent = this one alone' })),
    disks: Type.Optional(
      Type.Array(
        Type.Object({
          ...{ target: Type.String(), bytes: Type.Integer(), state: Type.Enum(DISK_STATES) },
          leftBytes: Type.Optional(Type.Integer({ description: 'Of one that arrives while its VM runs: still to come' })),
          restMs: Type.Optional(Type.Number({ description: 'How long that takes at the pace so far' })),
          hitRate: Type.Optional(
            Type.Number({ description: 'When it came last: share of what was read first that had been fetched before; absent = none was' }),
          ),
          wasteRate: Type.Optional(Type.Number({ description: 'The same: share of what was fetched before that was not read' })),
        }),
        {
          description:
            'That its host alone sees: in the snapshot, to be taken (anew), or on its way from another host; absent = none is known',
        },
      ),
    ),
    prediction: Nullable(
      Type.Object({
        resumes: Type.Integer({ description: 'It rests on' }),
        probability: Type.Number({ description: '0..1, that it is wanted within `withinMs` of now' }),
        withinMs: Type.Number(),
        likeliestAtMs: Nullable(UtcMs),
        text: Type.String(),
      }),
    ),
    tuning: Nullable(
      Type.Object(
        {
          share: Type.Number({ description: 'Of what it will touch first, fetched ahead; 0 = nothing' }),
          leadMs: Type.Number({ description: 'So long ahead at most' }),
          suspensions: Type.Integer({ description: 'It rests on' }),
          text: Type.String(),
        },
        { description: 'How it is made ready, learnt from what it cost; null = its policy does not ask for that' },
      ),
    ),
  },
  { $id: 'Suspension' },
);

export const SnapshotStore = Type.Object(
  {
    host: Type.String(),
    storedBytes: Type.Integer({ description: 'Of chunks, in the stores opened since its agent began' }),
    tiers: Type.Array(
      Type.Object({
        name: Type.String({ description: 'The directory, or ram' }),
        kind: Type.Enum(TIER_KINDS, {
          description:
            'ram: copies of what was read lately; disk: takes what is written; leaving: read and emptied; away: it should be there',
        }),
        capacityBytes: Nullable(Type.Integer({ description: 'null = no limit was set' })),
        usedBytes: Type.Integer(),
        readBytesPerSecond: Nullable(Type.Number({ description: 'As measured while it was used; null = it was not yet' })),
        writeBytesPerSecond: Nullable(Type.Number({ description: 'The same, synced' })),
        problem: Nullable(Type.String({ description: 'What went wrong there last; null = nothing' })),
      }),
      { description: 'Quickest first; none = one place, without a limit' },
    ),
  },
  { $id: 'SnapshotStore' },
);

export const SuspendOrder = Type.Object(
  {
    id: Type.String(),
    action: Type.Enum(SUSPEND_ACTIONS),
    vm: Nullable(Type.String()),
    vmName: Nullable(Type.String()),
    host: Type.String(),
    by: Type.String(),
    askedAtMs: UtcMs,
    state: Type.Enum(['working', 'ended', 'tried'] as const, { description: 'tried: in a dry run; its host would be asked' }),
    progress: Nullable(
      Type.Object({
        doneBytes: Type.Integer(),
        totalBytes: Type.Integer(),
        restMs: Nullable(Type.Number({ description: 'At the pace so far' })),
      }),
    ),
    priority: Nullable(
      Type.Integer({ description: 'Of what is made ready: larger goes first, then what is due first; null = anything else' }),
    ),
    dueAtMs: Nullable(UtcMs),
    ahead: Type.Integer({ description: 'More urgent ones on its host that it stands behind' }),
    outcome: Nullable(Type.Enum(OUTCOMES)),
    reason: Type.String({ description: 'What stood in the way, or what was done instead and why' }),
    endedAtMs: Nullable(UtcMs),
    followedBy: Nullable(Type.String({ description: 'The order that came of it: lent first, then brought back on the other host' })),
    placement: Nullable(
      Type.Object(
        {
          host: Type.String(),
          reason: Type.String(),
          others: Type.Array(Type.Object({ host: Type.String(), reason: Type.String() }), { description: 'Why not these, best first' }),
        },
        { description: 'Of one that was asked for on any host: why this one; null = its host was named, or its own' },
      ),
    ),
    measured: Type.Record(Type.String(), Type.Union([Type.Number(), Type.String()]), { description: 'Times in ms and bytes, by name' }),
  },
  { $id: 'SuspendOrder' },
);
