/**
 * Checks frames before anything reads them. Input: a decoded value of any kind. Output: the same value as a Frame, or
 * FRAME_INVALID naming the path, the rule and what was found. Also says which frames each end may receive.
 */
import { HeadroomError } from '../errors.ts';
import { checkOf } from './frame-checks.ts';
import type { Frame, FrameType } from './frames.ts';
import { PROTOCOL_VERSIONS } from './versions.ts';

/** Where a connection ends, which decides what may arrive there. */
export type Receiver =
  | 'host-agent'
  | 'guest-agent'
  | 'direct-guest-agent'
  | 'aggregator'
  | 'aggregator-from-guest'
  | 'host-agent-from-guest';

/** `error` is in every list: it says nothing and only ends the connection. */
const BOTH_WAYS: readonly FrameType[] = ['ping', 'pong', 'goodbye', 'error'];

const RECEIVES: Record<Receiver, ReadonlySet<FrameType>> = {
  'host-agent': new Set([
    ...BOTH_WAYS,
    'challenge',
    'welcome',
    'ack',
    'command',
    'guest-command',
    'lease',
    'kill-switch',
    'pool',
    'vm-action',
    'build',
    'suspend',
    'redirect',
  ]),
  'guest-agent': new Set([...BOTH_WAYS, 'welcome', 'ack', 'guest-command', 'pool']),
  aggregator: new Set([
    ...BOTH_WAYS,
    'hello',
    'proof',
    'telemetry',
    'inventory',
    'event',
    'result',
    'vm-action-result',
    'build-result',
    'suspend-result',
    'suspended',
    'hint',
    'credential',
  ]),
  'direct-guest-agent': new Set([...BOTH_WAYS, 'challenge', 'welcome', 'ack', 'guest-command', 'pool']),
  'aggregator-from-guest': new Set([...BOTH_WAYS, 'hello', 'proof', 'telemetry', 'result', 'hint', 'credential']),
  'host-agent-from-guest': new Set([...BOTH_WAYS, 'hello', 'telemetry', 'result', 'hint', 'credential']),
};

/** Every type that may arrive at `receiver`. */
export function receivable(receiver: Receiver): FrameType[] {
  return [...RECEIVES[receiver]];
}

export function mayReceive(receiver: Receiver, type: FrameType): boolean {
  return RECEIVES[receiver].has(type);
}

/** Returns the value as a frame; throws FRAME_INVALID otherwise. */
export function checkFrame(value: unknown): Frame {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HeadroomError('FRAME_INVALID', `a frame must be an object with a type; got ${kindOf(value)}`);
  }
  const type = (value as { type?: unknown }).type;
  const check = typeof type === 'string' ? checkOf(type) : undefined;
  if (!check)
    throw new HeadroomError(
      'FRAME_INVALID',
      `unknown frame type ${shown(type)}; this end speaks versions ${PROTOCOL_VERSIONS.join(' and ')} of the protocol`,
    );
  if (check.holds(value)) return value as Frame;
  const error = check.firstError(value);
  const path = error?.path ?? '';
  throw new HeadroomError(
    'FRAME_INVALID',
    `frame "${String(type)}" is invalid at ${path === '' ? '/' : path.slice(0, 200)}: ${(error?.message ?? 'does not match the schema').slice(0, 300)}; got ${kindOf(at(value, path))}`,
  );
}

/** The value at a JSON pointer, undefined when there is none. */
function at(value: unknown, pointer: string): unknown {
  let current = value;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Record<string, unknown>)[key];
  }
  return current;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`;
  if (typeof value === 'object') return 'an object';
  if (value === undefined) return 'nothing';
  return `${typeof value} ${shown(value)}`;
}

/** A value from the peer in a message for people: short, on one line. */
function shown(value: unknown): string {
  if (typeof value !== 'string') return typeof value === 'object' ? kindOf(value) : String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}
