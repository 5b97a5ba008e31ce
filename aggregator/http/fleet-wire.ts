/**
 * How aggregators write to each other what they see and say of hosts: JSON, with what it has no word for (not a number, endless) as null.
 * Input: values or text; output: text or values, checked against a schema before anything reads them. Throws FRAME_INVALID.
 */
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { HeadroomError } from '../../shared/errors.ts';
import { hostId, vmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { checkFrame } from '../../shared/protocol/validate.ts';
import { VM_STATES } from '../../shared/resources.ts';
import { GROUP_RESOURCES, type GroupResource } from '../core/plan/group-policy.ts';
import type { SightHost, SightVm } from '../core/spawn/group-sight.ts';
import type { MemberDemand } from '../core/spawn/group-total.ts';
import type { FleetAsked, FleetTold } from './fleet-service.ts';

const text = Type.String({ minLength: 1, maxLength: 512 });
const number = Type.Number();
const unknown = Type.Union([Type.Number(), Type.Null()]);
const windows = Type.Array(unknown, { maxItems: 4096 });
const Mark = Type.Object({ run: number, count: number });

const Asked = Type.Object({ vms: Type.Array(text, { maxItems: 10_000 }), since: Type.Union([Mark, Type.Null()]) });
const Order = Type.Object({ host: text, frame: Type.Unknown() });

const Host = Type.Object({
  ...{ id: text, connected: Type.Boolean(), barred: Type.Union([Type.String(), Type.Null()]) },
  ...{ makesVms: Type.Boolean(), takesVms: Type.Boolean(), probes: Type.Boolean(), suspends: Type.Optional(Type.Boolean()) },
  ...{ freeMemoryMiB: unknown, freeCores: unknown, running: Type.Array(text) },
});
const Step = Type.Object({ startMs: number, memory: unknown, memoryClaimed: Type.Boolean(), cpu: windows, network: windows });
const Vm = Type.Object({
  ...{ id: text, name: text, host: text, labels: Type.Record(Type.String(), Type.String()) },
  ...{ state: Type.Union(VM_STATES.map((state) => Type.Literal(state))), vcpus: number, bootMemoryMiB: number },
  guestAgent: Type.Boolean(),
  demand: Type.Record(Type.String(), Type.Object({ now: unknown, ageMs: unknown })),
  step: Type.Union([Step, Type.Null()]),
});
const Told = Type.Object({
  sight: Type.Object({ hosts: Type.Array(Host), vms: Type.Array(Vm) }),
  answers: Type.Array(Type.Object({ host: text, result: Type.Unknown() })),
  mark: Mark,
});

const CHECKS = { asked: Compile(Asked), order: Compile(Order), told: Compile(Told) } as const;

export interface BuildOrder {
  host: ReturnType<typeof hostId>;
  frame: FrameOf<'build'>;
}

export const askedText = (asked: FleetAsked): string => JSON.stringify(asked);

export function askedIn(value: unknown): FleetAsked {
  const { vms, since } = checked<Static<typeof Asked>>('asked', value);
  return { vms: vms.map((id) => vmId(id)), since };
}

export const orderText = (order: BuildOrder): string => JSON.stringify(order);

export function orderIn(value: unknown): BuildOrder {
  const { host, frame } = checked<Static<typeof Order>>('order', value);
  return { host: hostId(host), frame: frameIn(frame, 'build') };
}

export function toldText({ sight: { hosts, vms }, answers, mark }: FleetTold): string {
  const steps = vms.map(({ step, ...vm }) => ({ ...vm, step: step === null ? null : stepText(step) }));
  return JSON.stringify({ sight: { hosts, vms: steps }, answers, mark });
}

export function toldIn(body: string): FleetTold {
  const { sight, answers, mark } = checked<Static<typeof Told>>('told', JSON.parse(body));
  const hosts = sight.hosts.map(
    (host): SightHost => ({
      ...{ ...host, id: hostId(host.id), running: host.running.map((id) => vmId(id)) },
      // Not known is none.
      ...{ freeMemoryMiB: host.freeMemoryMiB ?? 0, freeCores: host.freeCores ?? 0 },
    }),
  );
  const vms = sight.vms.map((vm): SightVm => {
    const demandOf = (resource: GroupResource): SightVm['demand'][GroupResource] => {
      const { now = null, ageMs = null } = vm.demand[resource] ?? {};
      return { now, ageMs: ageMs ?? Number.POSITIVE_INFINITY };
    };
    const demand = Object.fromEntries(GROUP_RESOURCES.map((resource) => [resource, demandOf(resource)])) as SightVm['demand'];
    return { ...vm, id: vmId(vm.id), host: hostId(vm.host), demand, step: vm.step === null ? null : stepIn(vm.step) };
  });
  return {
    sight: { hosts, vms },
    answers: answers.map(({ host, result }) => ({ host: hostId(host), result: frameIn(result, 'build-result') })),
    mark,
  };
}

function stepText({ startMs, points, memoryClaimed, windows: { cpu, network } }: MemberDemand): Static<typeof Step> {
  return { startMs, memory: points.memory.value, memoryClaimed, cpu: [...cpu], network: [...network] };
}

function stepIn({ startMs, memory, memoryClaimed, cpu, network }: Static<typeof Step>): MemberDemand {
  const windowsIn = (values: (number | null)[]): Float64Array => Float64Array.from(values, (value) => value ?? Number.NaN);
  return { startMs, points: { memory: { value: memory } }, memoryClaimed, windows: { cpu: windowsIn(cpu), network: windowsIn(network) } };
}

function frameIn<T extends 'build' | 'build-result'>(value: unknown, type: T): FrameOf<T> {
  const frame = checkFrame(value);
  if (frame.type !== type) throw new HeadroomError('FRAME_INVALID', `a frame of type "${frame.type}" where "${type}" belongs`);
  return frame as FrameOf<T>;
}

function checked<T>(what: keyof typeof CHECKS, value: unknown): T {
  const check = CHECKS[what];
  if (check.Check(value)) return value as T;
  const error = check.Errors(value).find(({ keyword }) => keyword !== 'boolean');
  throw new HeadroomError(
    'FRAME_INVALID',
    `what another aggregator sent (${what}) at ${error?.instancePath ?? ''} ${error?.message ?? 'does not fit'}`,
  );
}
