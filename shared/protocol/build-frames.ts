/**
 * Frames by which the aggregator has a host make VMs and take them away again. Schemas are the single source of types. A host
 * agent takes them only where its administrator let it (`buildPool` in its configuration), and then only for VMs it made itself.
 */
import * as Type from 'typebox';
import { UUID_SOURCE } from '../ids.ts';
import { NetworkProbe } from '../ready-probe.ts';
import { OUTCOMES } from '../resources.ts';
import { PLAIN_NAME_PATTERN, VmBuild } from '../vm-build.ts';

/** In `capabilities` of a host agent's hello: it takes `build` frames. Others would end the connection by them. */
export const BUILD_CAPABILITY = 'build';
/** It carries out a template's `tcp` and `http` probes too. */
export const PROBE_CAPABILITY = 'build-probe';
/** It takes VMs that were handed over, where its administrator lets it. */
export const HAND_OVER_CAPABILITY = 'hand-over';
/** It suspends VMs it made and brings them back, for warm pools. */
export const BUILD_SUSPEND_CAPABILITY = 'build-suspend';

/**
 * check: what this host lacks for a build, nothing is changed; build: make it and start it, or start what was stopped; stop: ask
 * the guest to shut down; end: power off; remove: definition, seed and (unless kept) disk go; probe: try once whether it serves;
 * adopt: mark a VM made by others as handed over, and start it if it is stopped; release: take that mark off, nothing else;
 * suspend: as it serves now, instead of shutting down; resume: bring it back from there.
 */
export const BUILD_ACTIONS = ['check', 'build', 'stop', 'end', 'remove', 'probe', 'adopt', 'release', 'suspend', 'resume'] as const;

const text = (maxLength: number) => Type.String({ maxLength });
const vm = Type.String({ pattern: `^${UUID_SOURCE}$` });
const name = Type.String({ pattern: PLAIN_NAME_PATTERN });
const unsigned = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** `generation` counts the phases of one VM's life: a late order of an earlier phase is refused. */
const pair = Type.Object({ epoch: unsigned, generation: unsigned });

const Order = Type.Union([
  Type.Object({ action: Type.Literal('check'), vm, build: VmBuild }),
  Type.Object({ action: Type.Literal('build'), vm, build: VmBuild, group: name, template: text(160) }),
  Type.Object({ action: Type.Literal('stop'), vm }),
  Type.Object({ action: Type.Literal('end'), vm }),
  Type.Object({ action: Type.Literal('remove'), vm, pool: name, keepDisk: Type.Boolean() }),
  Type.Object({ action: Type.Literal('probe'), vm, probe: NetworkProbe }),
  Type.Object({ action: Type.Literal('adopt'), vm, group: name }),
  Type.Object({ action: Type.Literal('release'), vm }),
  Type.Object({ action: Type.Literal('suspend'), vm }),
  Type.Object({ action: Type.Literal('resume'), vm }),
]);

/** Aggregator → host agent. Sent again with the same id, action and pair it is answered again, and not carried out again. */
export const BuildFrame = Type.Object({
  type: Type.Literal('build'),
  orderId: Type.String({ minLength: 1, maxLength: 128 }),
  pair,
  /** From receipt: not begun by then, it is refused. */
  leaseMs: Type.Number({ minimum: 0 }),
  order: Order,
});

/** Host agent → aggregator. */
export const BuildResultFrame = Type.Object({
  type: Type.Literal('build-result'),
  orderId: text(128),
  action: Type.Enum(BUILD_ACTIONS),
  pair,
  vm,
  outcome: Type.Enum(OUTCOMES),
  /** Of the failure, as errors are named: PERMISSION = this host's administrator does not let it. Null when there was none. */
  code: Type.Union([text(64), Type.Null()]),
  /** What stood in the way; of a check that failed, each thing that is missing. */
  reason: text(2048),
  wallMs: Type.Number(),
});
