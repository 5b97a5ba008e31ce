/**
 * libvirt's messages → the seam's events. Registers every kind of event it can use on a connection and tolerates those a
 * daemon does not know; turns what arrives into HypervisorEvents. Event ids: virDomainEventID; layouts: the protocol's facts.
 */
import { kibToMiB } from '../../../shared/units.ts';
import type { HypervisorEvent, PowerState } from '../hypervisor.ts';
import { type DomainRef, type LibvirtApi, readDomain } from './procedures.ts';
import { QEMU_PROGRAM, REMOTE_PROGRAM } from './rpc-connection.ts';
import { readParams } from './typed-params.ts';
import type { XdrReader } from './xdr.ts';

/** Event id to register, and the procedure number its messages carry. */
const LIFECYCLE = { id: 0, procedure: 318 };
const REBOOT = { id: 1, procedure: 319 };
const BALLOON = { id: 13, procedure: 331 };
const TUNABLE = { id: 17, procedure: 346 };
const AGENT = { id: 18, procedure: 348 };
const WANTED = [LIFECYCLE, REBOOT, BALLOON, TUNABLE, AGENT];
/** Of the QEMU program: a monitor event, and the one that tells a guest opened or closed a virtio-serial port. */
const MONITOR_EVENT_PROCEDURE = 6;
const PORT_CHANGE = 'VSERPORT_CHANGE';
const GUEST_AGENT_CHANNEL = 'org.qemu.guest_agent.0';

/** virDomainState. */
const STATES: PowerState[] = ['unknown', 'running', 'running', 'paused', 'shutdown', 'shutoff', 'crashed', 'suspended'];

/** virDomainShutoffReason: QEMU ended by itself, or could not be started. */
const SHUTOFF_CRASHED = 3;
const SHUTOFF_FAILED = 6;

/** `reason` of the state, where it was told: a VM that is off because it failed has crashed. */
export function powerOf(state: number, reason: number | null = null): PowerState {
  const power = STATES[state] ?? 'unknown';
  return power === 'shutoff' && (reason === SHUTOFF_CRASHED || reason === SHUTOFF_FAILED) ? 'crashed' : power;
}

const RUNNING = 1;
/** virDomainRunningReason: migrated, restored, from a snapshot. Gone once somebody pauses it. */
const CAME_ALIVE = [2, 3, 4];

export const isCameAlive = (state: number, reason: number): boolean => state === RUNNING && CAME_ALIVE.includes(reason);

/** virDomainEventType → state afterwards; definitions come and go apart. */
const LIFECYCLE_POWER: Record<number, PowerState> = {
  2: 'running',
  3: 'paused',
  4: 'running',
  5: 'shutoff',
  6: 'shutdown',
  7: 'suspended',
  8: 'crashed',
};
const LIFECYCLE_WORDS = [
  'defined',
  'undefined',
  'started',
  'suspended',
  'resumed',
  'stopped',
  'shutdown',
  'suspended to memory',
  'crashed',
];

const STARTED = 2;
const STOPPED = 5;
const CRASHED = 8;
/** Migrated here, restored: its memory is still on the way, and it is paused until all of it is here and "resumed" is told. */
const STARTED_INCOMING = [1, 2];
/** virDomainEventStartedDetailType, virDomainEventStoppedDetailType, virDomainEventCrashedDetailType. */
const STARTED_WORDS = ['booted', 'migrated here', 'restored', 'from a snapshot', 'woken'];
const STOPPED_WORDS = [
  'shut down',
  'destroyed',
  'crashed',
  'migrated away',
  'saved',
  'the hypervisor process failed',
  'reverted to a snapshot',
];
const STOPPED_FAILED = [2, 5];
const CRASHED_WORDS = ['the guest panicked', 'the guest panicked and loaded a crash kernel'];

/** An event, or a virtio-serial port known so far only by its device alias. */
export type RawEvent = HypervisorEvent | { kind: 'port'; domain: DomainRef; alias: string; connected: boolean };

/** Registers all wanted events; what the daemon does not offer is left out. Answers how many it accepted. */
export async function registerEvents(api: LibvirtApi): Promise<number> {
  const tries = [...WANTED.map(({ id }) => api.registerEvent(id)), api.registerMonitorEvent(PORT_CHANGE)];
  const results = await Promise.allSettled(tries);
  return results.filter(({ status }) => status === 'fulfilled').length;
}

/** One message; null when it is of no interest. Throws when it cannot be read. */
export function decodeEvent(program: number, procedure: number, reader: XdrReader): RawEvent | null {
  if (program === QEMU_PROGRAM && procedure === MONITOR_EVENT_PROCEDURE) return portEvent(reader);
  if (program !== REMOTE_PROGRAM) return null;
  const known = WANTED.some((wanted) => wanted.procedure === procedure);
  if (!known) return null;
  reader.i32();
  const domain = readDomain(reader);
  const id = domain.uuid;
  switch (procedure) {
    case LIFECYCLE.procedure:
      return lifecycle(domain, reader.i32(), reader.i32());
    case REBOOT.procedure:
      return { kind: 'lifecycle', id, name: domain.name, power: 'running', detail: 'rebooted' };
    case BALLOON.procedure:
      return { kind: 'balloon', id, actualMiB: kibToMiB(reader.u64()) };
    case TUNABLE.procedure:
      return { kind: 'tunable', id, values: tunables(reader) };
    default:
      return { kind: 'channel', id, channel: GUEST_AGENT_CHANNEL, connected: reader.i32() === 1 };
  }
}

function lifecycle(domain: DomainRef, event: number, detail: number): HypervisorEvent {
  const { uuid: id, name } = domain;
  if (event === 0) return { kind: 'defined', id, name };
  if (event === 1) return { kind: 'undefined', id, name };
  const why = { [STARTED]: STARTED_WORDS, [STOPPED]: STOPPED_WORDS, [CRASHED]: CRASHED_WORDS }[event]?.[detail];
  const words = `${LIFECYCLE_WORDS[event] ?? `event ${event}`}: ${why ?? `detail ${detail}`}`;
  return { kind: 'lifecycle', id, name, power: powerAfter(event, detail), detail: words };
}

function powerAfter(event: number, detail: number): PowerState {
  if (event === STOPPED && STOPPED_FAILED.includes(detail)) return 'crashed';
  if (event === STARTED && STARTED_INCOMING.includes(detail)) return 'paused';
  return LIFECYCLE_POWER[event] ?? 'unknown';
}

function tunables(reader: XdrReader): Record<string, number | string> {
  const values: Record<string, number | string> = {};
  for (const [name, value] of Object.entries(readParams(reader))) values[name] = typeof value === 'boolean' ? Number(value) : value;
  return values;
}

function portEvent(reader: XdrReader): RawEvent | null {
  reader.i32();
  const domain = readDomain(reader);
  const event = reader.string();
  reader.i64();
  reader.u32();
  const details = reader.optionalString();
  if (event !== PORT_CHANGE || details === null) return null;
  const port = portOf(details);
  return port && { kind: 'port', domain, ...port };
}

function portOf(details: string): { alias: string; connected: boolean } | null {
  try {
    const { id, open } = JSON.parse(details) as { id?: unknown; open?: unknown };
    return typeof id === 'string' && typeof open === 'boolean' ? { alias: id, connected: open } : null;
  } catch {
    return null;
  }
}
