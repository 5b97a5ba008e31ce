/**
 * What concerns identity, for the ledger and the log: who was enrolled, revoked, refused. Input: happenings; output: entries of
 * the hash-chained ledger. Refusals are written at a bounded rate, however many a stranger provokes: those above it are
 * counted, and told with the next entry.
 */
import type { Clock } from '../../shared/clock.ts';
import { type ErrorCode, errorText, type HeadroomError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

export interface SecurityEvent {
  /** `agent-enrolled`, `agent-refused`, `request-refused`, … */
  event: string;
  /** Whom it concerns: `host/NAME`, `guest/UUID`, a token's name, an address. */
  subject: string;
  /** Who did it: a person's or program's name, an address. */
  by: string;
  /** The code of a refusal; null = none. */
  code: string | null;
  reason: string;
}

/** Enough for a person to see an attack begin and go on; a year of them all takes 300 MB. */
const REFUSALS = { ratePerSecond: 0.05, burst: 60 };
/** What ends honest connections, too. */
const NO_ATTEMPT: ReadonlySet<ErrorCode> = new Set(['CONNECTION_CLOSED', 'TIMEOUT', 'CONFLICT', 'UNAVAILABLE', 'PROTOCOL_VERSION']);
/** Names and reasons come from strangers, too. */
const TEXT_MAX = 300;

export class SecurityLog {
  readonly #ledger: LedgerStore;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #refusals: TokenBucket;
  #untold = 0;
  /** All there were, told or not. */
  refused = 0;

  constructor(ledger: LedgerStore, clock: Clock, log: Logger) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#log = log;
    this.#refusals = new TokenBucket(REFUSALS, clock.monotonicMs());
  }

  /** Resolves once it is durable; rejects when the ledger does. */
  async note(event: SecurityEvent): Promise<void> {
    await this.#ledger.append(Math.round(this.#clock.wallMs()), { kind: 'security', ...short(event), untold: this.#untold });
    this.#untold = 0;
    this.#log.info(`security: ${event.event}`, { subject: event.subject, by: event.by, reason: event.reason });
  }

  /** Of ingest's problems those that are somebody's attempt; broken connections are nobody's. */
  refuseAgent(peer: string, error: HeadroomError, agent: string | null): void {
    if (NO_ATTEMPT.has(error.code)) return;
    this.refuse({ event: 'agent-refused', subject: agent ?? peer, by: peer, code: error.code, reason: error.message });
  }

  /** Does not wait, and does not throw. */
  refuse(event: SecurityEvent): void {
    this.refused++;
    const nowMs = this.#clock.monotonicMs();
    if (this.#refusals.available(nowMs) < 1) {
      this.#untold++;
      return;
    }
    this.#refusals.take(1, nowMs);
    this.note(event).catch((error: unknown) =>
      this.#log.error('a refusal could not be written to the ledger', { problem: errorText(error) }),
    );
  }
}

function short({ event, subject, by, code, reason }: SecurityEvent): SecurityEvent {
  return { event, subject: subject.slice(0, TEXT_MAX), by: by.slice(0, TEXT_MAX), code, reason: reason.slice(0, TEXT_MAX) };
}
