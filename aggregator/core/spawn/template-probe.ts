/** A template's `ready.probe` as it is written → who says that a VM is ready, and what its host asks for it. Pure. */
import { type NetworkProbe, PROBE_TIMEOUT_MS_MAX } from '../../../shared/ready-probe.ts';
import { parseDuration } from '../plan/durations.ts';
import type { ProbeDocument, ReadyProbe } from './template-schema.ts';

export interface TemplateProbe {
  probe: ReadyProbe;
  /** What its host asks of its address; null = nothing. */
  asked: NetworkProbe | null;
}

/** Long enough for a guest that is busy with its own start; the next try comes soon. */
const TIMEOUT = '2s';

export function templateProbe(written: ProbeDocument): TemplateProbe {
  if (typeof written === 'string') return { probe: written, asked: null };
  if ('tcp' in written) {
    const { port, timeout = TIMEOUT } = written.tcp;
    return { probe: 'tcp', asked: { kind: 'tcp', port, timeoutMs: parseDuration(timeout) } };
  }
  const { path = '/', port = 80, status = 200, timeout = TIMEOUT } = written.http;
  return { probe: 'http', asked: { kind: 'http', path, port, status, timeoutMs: parseDuration(timeout) } };
}

/** What keeps a host from asking it, in words; null = nothing. */
export function objectionToProbe({ asked }: TemplateProbe, networks: readonly { kind: string }[]): string | null {
  if (asked === null) return null;
  if (asked.timeoutMs < 1 || asked.timeoutMs > PROBE_TIMEOUT_MS_MAX) {
    return `one try takes more than nothing and at most ${PROBE_TIMEOUT_MS_MAX / 1000}s; "within" says how long it is repeated`;
  }
  if (networks.some(({ kind }) => kind !== 'user')) return null;
  return 'its host must reach it: name a network or a bridge under networks (a user network leads out only)';
}
