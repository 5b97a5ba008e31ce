/**
 * Incidents outlive a restart: the list of what is and was wrong, what was done about it, and what was announced, as one blob of
 * the ledger. Input: the list after a step in which it changed; output: bytes of a bounded size, and the list of an earlier run.
 * One that cannot be read costs the list and nothing else: detectors are kept with the models.
 */
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { KnownEvent as Announced } from '../core/anomaly/known-events.ts';
import { Incident, KnownEvent } from '../http/schemas/anomalies.ts';
import type { IncidentView } from '../http/service.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

export interface AnomalyMemory {
  /** Newest first. */
  incidents: readonly IncidentView[];
  known: readonly Announced[];
}

const BLOB = 'incidents';
/** A third of what an etcd takes in one request; some 800 incidents. Ended ones give way first, the oldest before the others. */
const BYTES_MAX = 512 * 1024;
const COMMA = Buffer.from(',');

const Memory = Type.Object({ version: Type.Literal(1), incidents: Type.Array(Incident), known: Type.Array(KnownEvent) });
const isMemory = Compile(Memory);

export class KeptIncidents {
  readonly #ledger: Pick<LedgerStore, 'getBlob' | 'putBlob'>;
  /** The list is written after every step in which one incident changed; one that changes is another object. */
  readonly #written = new WeakMap<IncidentView, Uint8Array>();

  constructor(ledger: Pick<LedgerStore, 'getBlob' | 'putBlob'>) {
    this.#ledger = ledger;
  }

  /** Null: there is none, or none that this build reads. Rejects when the ledger fails. */
  async load(): Promise<AnomalyMemory | null> {
    const bytes = await this.#ledger.getBlob(BLOB);
    if (bytes === null) return null;
    try {
      const read: unknown = JSON.parse(new TextDecoder().decode(bytes));
      return isMemory.Check(read) ? (read as Static<typeof Memory> & AnomalyMemory) : null;
    } catch (error) {
      if (error instanceof SyntaxError) return null;
      throw error;
    }
  }

  async save({ incidents, known }: AnomalyMemory): Promise<void> {
    const kept = this.#withinBytes(incidents, BYTES_MAX);
    const parts = kept.flatMap((bytes, i) => (i === 0 ? [bytes] : [COMMA, bytes]));
    const [head, tail] = ['{"version":1,"incidents":[', `],"known":${JSON.stringify(known)}}`].map((text) => Buffer.from(text));
    await this.#ledger.putBlob(BLOB, Buffer.concat([head!, ...parts, tail!]));
  }

  #withinBytes(incidents: readonly IncidentView[], bytesMax: number): Uint8Array[] {
    const openFirst = incidents.toSorted((a, b) => Number(a.endMs !== null) - Number(b.endMs !== null) || b.startMs - a.startMs);
    let sum = 0;
    const kept = new Map<IncidentView, Uint8Array>();
    for (const incident of openFirst) {
      const bytes = this.#bytesOf(incident);
      sum += bytes.length;
      if (sum > bytesMax) break;
      kept.set(incident, bytes);
    }
    return incidents.flatMap((incident) => kept.get(incident) ?? []);
  }

  #bytesOf(incident: IncidentView): Uint8Array {
    let bytes = this.#written.get(incident);
    if (bytes === undefined) {
      bytes = new TextEncoder().encode(JSON.stringify(incident));
      this.#written.set(incident, bytes);
    }
    return bytes;
  }
}
