/**
 * Frames by which the aggregator acts on a VM that went wrong, apart from what is allocated to it: cut off its network for a
 * while, end that before its time, restart it. Schemas are the single source of types; who may ask for what is policy's to say.
 */
import * as Type from 'typebox';
import { UUID_SOURCE } from '../ids.ts';
import { OUTCOMES } from '../resources.ts';

/** In `capabilities` of a host agent's hello: it takes `vm-action` frames. Others would end the connection by them. */
export const VM_ACTION_CAPABILITY = 'vm-action';

/** The same for an isolation by quarantine. */
export const QUARANTINE_CAPABILITY = 'vm-action-quarantine';

/**
 * How a VM is cut off. `link`: its links go down, and the guest sees that. `quarantine`: a filter of the host drops all its packets,
 * while its links stay up: nothing in the guest notices a cable pulled, and bonds and clusters do not fail over by it.
 */
export const ISOLATION_MEANS = ['link', 'quarantine'] as const;
export type IsolationMeans = (typeof ISOLATION_MEANS)[number];

export const VM_ACTIONS = ['isolate', 'release', 'restart'] as const;
export type VmAction = (typeof VM_ACTIONS)[number];

/** No isolation lasts longer, whoever asks: somebody has looked by then. */
export const ISOLATION_MS_MAX = 86_400_000;

const text = (maxLength: number) => Type.String({ maxLength });
const vm = Type.String({ pattern: `^${UUID_SOURCE}$` });
const action = Type.Enum(VM_ACTIONS);

/** Aggregator → host agent. Sent again with the same id it is answered again, and not carried out again. */
export const VmActionFrame = Type.Object({
  type: Type.Literal('vm-action'),
  actionId: Type.String({ minLength: 1, maxLength: 128 }),
  vm,
  action,
  /** Of the aggregator that owns the host; one below the epoch of the host's lease is refused. */
  epoch: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  /** From receipt: not begun by then, it is refused. */
  leaseMs: Type.Number({ minimum: 0 }),
  /** isolate: the host agent undoes it by itself after so long. 0 for the others. */
  forMs: Type.Number({ minimum: 0, maximum: ISOLATION_MS_MAX }),
  /** isolate: by link when absent. */
  means: Type.Optional(Type.Enum(ISOLATION_MEANS)),
  reason: text(1024),
});

/** Host agent → aggregator. */
export const VmActionResultFrame = Type.Object({
  type: Type.Literal('vm-action-result'),
  actionId: text(128),
  vm,
  action,
  outcome: Type.Enum(OUTCOMES),
  reason: text(1024),
  wallMs: Type.Number(),
});
